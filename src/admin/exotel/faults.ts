/** What a request can fail with: Exotel's numbers where it documents one, ours (1400 and up) where it does not. */

export interface ExotelFault {
  /** HTTP status, and `code` of the envelope. */
  readonly status: number;
  /** `error_data.code`. */
  readonly code: number;
  readonly message: string;
  readonly description: string;
  /** `http_code` and HTTP status where they differ from `status`: see `duplicateListed`. */
  readonly outerStatus?: number;
}

/** Longest piece of a request that a description repeats. */
const MAX_ECHO = 100;

/** Text of the client's in a description: cut, and without control characters. */
export const echo = (text: string): string =>
  // eslint-disable-next-line no-control-regex -- exactly these are to go
  text.slice(0, MAX_ECHO).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');

export const notFound = (description: string): ExotelFault => ({
  status: 404,
  code: 1000,
  message: 'Not Found',
  description,
});

export const missing = (name: string): ExotelFault => ({
  status: 400,
  code: 1001,
  message: 'Mandatory Parameter missing',
  description: `${name} is mandatory`,
});

export const invalid = (description: string): ExotelFault => ({
  status: 400,
  code: 1002,
  message: 'Invalid parameter',
  description,
});

export const badBody = (description: string, status = 400): ExotelFault => ({
  status,
  code: 1007,
  message: 'Invalid request body',
  description,
});

export const duplicate = (description: string): ExotelFault => ({
  status: 409,
  code: 1008,
  message: 'Duplicate resource',
  description,
});

/** A number or an address that is there already: Exotel answers 200 with a failure of 409 inside, and clients rely on it. */
export const duplicateListed = (description: string): ExotelFault => ({ ...duplicate(description), outerStatus: 200 });

export const unsupportedType = (): ExotelFault => ({
  status: 415,
  code: 1011,
  message: 'Unsupported content type',
  description: 'Content-Type must be application/json',
});

export const unauthenticated = (): ExotelFault => ({
  status: 401,
  code: 1010,
  message: 'Authentication failed',
  description: 'API key and token of an account are needed, as HTTP Basic',
});

export const forbidden = (description: string): ExotelFault => ({
  status: 403,
  code: 1403,
  message: 'Forbidden',
  description,
});

export const methodNotAllowed = (allowed: readonly string[]): ExotelFault => ({
  status: 405,
  code: 1405,
  message: 'Method not allowed',
  description: `Use ${allowed.join(', ')}`,
});

export const conflict = (description: string): ExotelFault => ({
  status: 409,
  code: 1409,
  message: 'Conflict',
  description,
});

export const preconditionFailed = (): ExotelFault => ({
  status: 412,
  code: 1412,
  message: 'Precondition failed',
  description: 'The configuration was changed since the revision of If-Match; read it again',
});

export const tooManyRequests = (limit: number, retrySeconds: number): ExotelFault => ({
  status: 429,
  code: 1429,
  message: 'Too many requests',
  description: `${limit} requests in any 60 seconds are allowed; try again in ${retrySeconds} s`,
});

export const internal = (): ExotelFault => ({
  status: 500,
  code: 1500,
  message: 'Internal Server Error',
  description: 'The request could not be answered; nothing was changed',
});

export const unavailable = (description: string): ExotelFault => ({
  status: 503,
  code: 1503,
  message: 'Service Unavailable',
  description,
});

/** Thrown by hooks and handlers of this API only. */
export class ExotelError extends Error {
  readonly fault: ExotelFault;

  constructor(fault: ExotelFault) {
    super(fault.description);
    this.fault = fault;
  }
}
