import type { SipMessage } from '../message/message.js';
import type { Via } from '../message/via.js';
import type { Arrival } from './layer.js';

/**
 * Notes in the top Via where a request really came from, RFC 3261 §18.2.1 and RFC 3581 §4. What the sender itself
 * wrote there about its address is not believed.
 */
export const stampVia = (message: SipMessage, arrival: Arrival): void => {
  const via = message.topVia;
  if (via.transport === '') return; // a malformed one, of a request that is about to be refused
  const raw = stampedVia(via, arrival);
  if (raw !== via.raw) message.replaceTopVia(raw);
};

/** The same for a Via value by itself: as it is, or with `received` and `rport`. */
export const stampedVia = (via: Via, arrival: Pick<Arrival, 'address' | 'port'>): string => {
  const hostDiffers = via.host !== arrival.address;
  if (via.rport === undefined && via.received === undefined && !hostDiffers) return via.raw;
  let { raw } = via;
  if (via.received !== undefined) raw = withoutParam(raw, 'received');
  if (via.rport !== undefined) raw = `${withoutParam(raw, 'rport')};rport=${arrival.port}`;
  if (hostDiffers || via.rport !== undefined) raw += `;received=${arrival.address}`;
  return raw;
};

/** Removes `;name` and `;name=value` from a parameter list, in one pass; quoted values are stepped over. */
const withoutParam = (raw: string, name: string): string => {
  let kept = '';
  let start = 0;
  let quoted = false;
  for (let i = 0; i <= raw.length; i++) {
    const char = raw[i];
    if (char === '"' && raw[i - 1] !== '\\') quoted = !quoted;
    if (i < raw.length && (char !== ';' || quoted)) continue;
    const piece = raw.slice(start, i);
    const equals = piece.indexOf('=');
    const pieceName = (equals < 0 ? piece : piece.slice(0, equals)).replaceAll(';', '').trim().toLowerCase();
    if (start === 0 || pieceName !== name) kept += piece;
    start = i;
  }
  return kept;
};

/**
 * Where a response to this request goes over UDP: back to the socket it came from if the sender asked for it by
 * `rport` (RFC 3581 §4), else to the port of its Via (RFC 3261 §18.2.2). `maddr` is ignored on purpose: it would let
 * a stranger aim our answers at others.
 */
export const responsePort = (message: SipMessage, arrival: Arrival): number => portOf(message.topVia, arrival);

/** The same for a Via by itself. */
export const portOf = (via: Via, arrival: Pick<Arrival, 'port'>): number => {
  if (via.rport !== undefined || via.transport === '') return arrival.port;
  return via.port ?? 5060;
};
