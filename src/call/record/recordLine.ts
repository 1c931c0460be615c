import type { CallRecord } from './cdr.js';

/** One record as one line of JSON, newline included. Undefined members of the decision are left out. */
export const recordLine = (record: CallRecord): string => JSON.stringify(record) + '\n';
