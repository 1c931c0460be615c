/** A target with a fault behind conditions that chance alone would not meet: what the search itself is tried on. */
import type { Target } from '../target.js';

const SECRET = '<;"@:%';

/** Each character is a branch of its own, as in a parser. */
const descend = (data: Buffer): number => {
  if (data[0] !== SECRET.charCodeAt(0)) return 0;
  if (data[1] !== SECRET.charCodeAt(1)) return 1;
  if (data[2] !== SECRET.charCodeAt(2)) return 2;
  if (data[3] !== SECRET.charCodeAt(3)) return 3;
  if (data[4] !== SECRET.charCodeAt(4)) return 4;
  if (data[5] !== SECRET.charCodeAt(5)) return 5;
  throw new TypeError('planted');
};

export const plantedTarget: Target = {
  name: 'planted',
  kind: 'octets',
  covers: ['/fuzz/targets/planted'],
  words: ['x'],
  maxBytes: 64,
  seeds: () => [Buffer.from('aaaaaaaaaaaaaaaa')],
  run: (input) => void descend(input),
};
