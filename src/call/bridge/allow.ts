/** The Allow header of one leg (RFC 3261 §20.5): what we take ourselves, and what the other leg takes of the rest. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import { hasOption } from './reliability.js';

/** Answered here, or by a rule of ours, whatever the other end can do. */
const OURS = 'INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, REFER, NOTIFY';
/** Of use where the other end takes them: RFC 3311 §5.1 has nobody send UPDATE to an end that does not list it. */
const THEIRS = ['INFO', 'UPDATE', 'MESSAGE'] as const;

/** Peers of one make say the same all day; strangers may say anything. */
const MAX_KNOWN = 256;
const known = new Map<string, HeaderEntry>();

/** What to say to one end of what the other has said; undefined where it has not. */
export const allowOf = (other: SignalMessage): HeaderEntry | undefined => {
  const said = other.header('Allow');
  if (said === undefined) return undefined;
  let field = known.get(said);
  if (field === undefined) {
    field = ['Allow', [OURS, ...THEIRS.filter((method) => hasOption(said, method.toLowerCase()))].join(', ')];
    if (known.size < MAX_KNOWN) known.set(said, field);
  }
  return field;
};
