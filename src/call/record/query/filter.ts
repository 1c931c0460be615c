/** What of records can be asked for, and what an index keeps of each. Shared by both sides of the worker's channel. */
import type { CallRecord } from '../cdr.js';

/** All that are given must hold. */
export interface RecordFilter {
  /** Beginning of the call, milliseconds since 1970 UTC: from (included) and to (excluded). */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Caller or called. */
  readonly number?: string;
  readonly caller?: string;
  readonly called?: string;
  readonly account?: string;
  readonly trunk?: string;
  readonly carrier?: string;
  readonly direction?: string;
  readonly outcome?: string;
  readonly reason?: string;
  readonly callId?: string;
}

export interface RecordQuery {
  readonly filter: RecordFilter;
  readonly limit: number;
  /** Where the page before ended. */
  readonly cursor?: string | undefined;
  readonly format: 'json' | 'csv';
  /** For an account: without what names others'. */
  readonly trimmed: boolean;
}

export type QueryAnswer =
  | {
      readonly ok: true;
      /** `json`: records, newest first, with commas between; `csv`: lines. */
      readonly body: Uint8Array;
      readonly count: number;
      readonly cursor: string | undefined;
    }
  | { readonly ok: false; readonly code: 'cursor_unknown' | 'query_failed'; readonly message: string };

/** The part of a record before its attempts, which is what queries ask about. */
export type RecordHead = Omit<CallRecord, 'attempts' | 'charge' | 'dials' | 'decision' | 'flow' | 'media' | 'streams'>;

const HEAD_END = Buffer.from(',"attempts":[');

/** @returns undefined for a line that is no record */
export const headOf = (line: Buffer): RecordHead | undefined => {
  const end = line.indexOf(HEAD_END);
  if (end < 0 || line[0] !== 0x7b) return undefined;
  try {
    return JSON.parse(`${line.toString('utf8', 0, end)}}`) as RecordHead;
  } catch {
    return undefined;
  }
};

/** Indexed values, in the order of the columns. Several values of one column are alternatives. */
export const COLUMNS = [
  'callId',
  'account',
  'trunk',
  'carrier',
  'direction',
  'outcome',
  'reason',
  'caller',
  'called',
] as const;
export type Column = (typeof COLUMNS)[number];

export const valueOf = (head: RecordHead, column: Column): string | null => {
  switch (column) {
    case 'callId':
      return head.callId;
    case 'account':
      return head.accountSid;
    case 'trunk':
      return head.trunkSid;
    case 'carrier':
      return head.carrierId;
    case 'direction':
      return head.direction;
    case 'outcome':
      return head.outcome;
    case 'reason':
      return head.reasonCode;
    case 'caller':
      return head.callerE164 ?? head.callerReceived;
    case 'called':
      return head.calledE164 ?? head.calledReceived;
  }
};

/** FNV-1a over UTF-16 units: an index value, never a proof; a match is looked at. */
export const hashOf = (text: string | null): number => {
  if (text === null) return 0;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash | 1) >>> 0;
};

export const matches = (head: RecordHead, filter: RecordFilter): boolean => {
  const startedMs = Date.parse(head.startedAt);
  if (filter.fromMs !== undefined && startedMs < filter.fromMs) return false;
  if (filter.toMs !== undefined && startedMs >= filter.toMs) return false;
  for (const column of COLUMNS) {
    const wanted = filter[column];
    if (wanted !== undefined && valueOf(head, column) !== wanted) return false;
  }
  const { number } = filter;
  return number === undefined || valueOf(head, 'caller') === number || valueOf(head, 'called') === number;
};
