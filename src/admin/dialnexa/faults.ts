/** What a request can fail with, in DialNexa's form: `{statusCode, message, error}`. */
import { STATUS_CODES } from 'node:http';
import type { ControlProblem } from '../../control/index.js';

export interface NexaFault {
  readonly status: number;
  readonly message: string;
}

export const fault = (status: number, message: string): NexaFault => ({ status, message });

export const bodyOf = ({ status, message }: NexaFault) => ({
  statusCode: status,
  message,
  error: STATUS_CODES[status] ?? 'Error',
});

const STATUS: { readonly [code in ControlProblem['code']]: number } = {
  revision_conflict: 409,
  invalid_document: 400,
  reference_missing: 404,
  resource_in_use: 409,
  revision_too_large: 413,
  revision_not_found: 404,
  history_trimmed: 404,
  store_unreachable: 503,
  store_busy: 503,
};

export const faultOfProblem = ({ code, message }: ControlProblem): NexaFault => fault(STATUS[code], message);

/** Thrown by hooks and handlers of this API only. */
export class NexaError extends Error {
  readonly fault: NexaFault;

  constructor(told: NexaFault) {
    super(told.message);
    this.fault = told;
  }
}
