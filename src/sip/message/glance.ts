/** As much of a new INVITE as it takes to refuse it: read at a third of what parsing costs. */
import { CR, SP, TAB } from './chars.js';
import { byteString } from './text.js';
import { type Via, firstVia } from './via.js';

export interface Glance {
  readonly uri: string;
  readonly topVia: Via;
  /** The Via fields as lines: the first value's length in the first, and all of them. */
  readonly vias: readonly string[];
  /** Octets of the first Via value in `vias[0]`. */
  readonly topLength: number;
  readonly from: string;
  readonly to: string;
  readonly callId: string;
  readonly cseq: string;
  /** To has a tag: the request is one of a dialog. */
  readonly inDialog: boolean;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LONGEST_HEAD = 8192;
const VERSION = ' SIP/2.0';

/**
 * @returns undefined for whatever is not an INVITE in the plainest spelling: folded or oddly named fields, line ends of
 * half a kind. Those are for the parser.
 */
export const glanceAtInvite = (data: Buffer): Glance | undefined => {
  if (!mayBeInvite(data)) return undefined;
  const headEnd = data.indexOf(HEAD_END);
  if (headEnd < 0 || headEnd > LONGEST_HEAD) return undefined;
  const text = byteString(data, 0, headEnd + 2);
  const lineEnd = text.indexOf('\r\n');
  if (!text.startsWith('INVITE ') || !text.startsWith(VERSION, lineEnd - VERSION.length)) return undefined;
  const vias: string[] = [];
  let [from, to, callId, cseq] = ['', '', '', ''];
  let end = lineEnd;
  for (let at = end + 2; at < text.length; at = end + 2) {
    end = text.indexOf('\r\n', at);
    const c = text.charCodeAt(at);
    if (c === SP || c === TAB || c === CR) return undefined;
    switch (c | 0x20) {
      case 0x76: // v
        if (text.startsWith('Via: ', at)) vias.push(text.slice(at + 5, end));
        else if (isVia(text, at)) return undefined;
        break;
      case 0x66: // f
        if (text.startsWith('From: ', at) && from === '') from = text.slice(at + 6, end);
        break;
      case 0x74: // t
        if (text.startsWith('To: ', at) && to === '') to = text.slice(at + 4, end);
        break;
      case 0x63: // c
        if (text.startsWith('Call-ID: ', at) && callId === '') callId = text.slice(at + 9, end);
        else if (text.startsWith('CSeq: ', at) && cseq === '') cseq = text.slice(at + 6, end);
        break;
      default:
    }
  }
  const top = vias[0] === undefined ? undefined : firstVia(vias[0]);
  if (top === undefined || from === '' || to === '' || callId === '' || cseq === '') return undefined;
  if (!isPlain(from + to + callId + cseq) || !vias.every(isPlain)) return undefined;
  const uri = text.slice(7, lineEnd - VERSION.length);
  return { uri, topVia: top, vias, topLength: top.length, from, to, callId, cseq, inDialog: hasTag(to) };
};

/** Begins with 'INVI', and is long enough. */
export const mayBeInvite = (data: Buffer): boolean =>
  data[0] === 0x49 && data[1] === 0x4e && data[2] === 0x56 && data[3] === 0x49 && data.length >= 64;

/** `v:`, `VIA :` and the like. */
const isVia = (text: string, at: number): boolean => {
  const colon = text.indexOf(':', at);
  const name = text.slice(at, colon).trimEnd().toLowerCase();
  return name === 'v' || name === 'via';
};

/** Any `tag` behind the address; where in doubt, one that is none: such a request is let pass. */
const hasTag = (to: string): boolean => to.toLowerCase().includes('tag', to.lastIndexOf('>') + 1);

/** No line end of half a kind, no NUL. */
const isPlain = (value: string): boolean => !value.includes('\n') && !value.includes('\r') && !value.includes('\0');
