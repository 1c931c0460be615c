import { createHash } from 'node:crypto';

/** 48 bits: a decimal that every client's number type holds. */
const ID_BYTES = 6;

/**
 * Id of an entry in a list of a trunk: the stored one, or one derived from what the entry is, so that an entry of a
 * hand-written document keeps its id as long as it stays the same.
 * @param kind name of the list, such as `whitelisted_ip`
 * @param naturalKey what tells the entry from the others of its list: `203.0.113.7/32`
 */
export const listedId = (entry: { readonly id?: string }, trunkSid: string, kind: string, naturalKey: string): string =>
  entry.id ?? derivedId(trunkSid, kind, naturalKey);

const derivedId = (trunkSid: string, kind: string, naturalKey: string): string =>
  String(createHash('sha256').update(`${trunkSid}|${kind}|${naturalKey}`).digest().readUIntBE(0, ID_BYTES));
