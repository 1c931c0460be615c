/** What a customer types: `curl -X METHOD URL -H 'Content-Type: application/json' -d BODY`. */
import { once } from 'node:events';
import { spawnBound } from './endpoints.js';

export interface Curled {
  readonly status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers are looked at member by member
  readonly json: any;
}

/**
 * @param more further arguments
 * @throws Error when curl got no answer
 */
export const curlText = async (
  method: string,
  url: string,
  body?: object,
  more: readonly string[] = [],
): Promise<{ readonly status: number; readonly text: string }> => {
  const data = body === undefined ? [] : ['-H', 'Content-Type: application/json', '-d', JSON.stringify(body)];
  const args = ['-sS', '--max-time', '10', '-X', method, url, ...more, ...data, '-w', '\n%{http_code}'];
  const child = spawnBound('curl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let complaint = '';
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`curl ended with ${code}: ${complaint}`);
  const cut = out.lastIndexOf('\n');
  return { status: Number(out.slice(cut + 1)), text: out.slice(0, cut) };
};

/** The same for an answer in JSON. */
export const curlJson = async (...asked: Parameters<typeof curlText>): Promise<Curled> => {
  const { status, text } = await curlText(...asked);
  return { status, json: JSON.parse(text) as unknown };
};
