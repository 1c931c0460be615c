/** The shapes in which every answer of this API comes. */
import type { ExotelFault } from './faults.js';

export interface ErrorData {
  readonly code: number;
  readonly message: string;
  readonly description: string;
}

export interface ItemEnvelope {
  readonly code: number;
  readonly error_data: ErrorData | null;
  readonly status: 'success' | 'failure';
  readonly data: object | null;
}

interface Head {
  readonly request_id: string;
  readonly method: string;
  readonly http_code: number;
}

export interface SingleEnvelope extends Head {
  readonly response: ItemEnvelope;
}

export interface ListEnvelope extends Head {
  readonly metadata: object;
  readonly response: readonly ItemEnvelope[];
}

/** Which request is answered. */
export interface Asked {
  /** 32 hexadecimal digits. */
  readonly requestId: string;
  readonly method: string;
}

/** One entry of a bulk request: what came of it. */
export type ItemOutcome = { readonly data: object } | { readonly fault: ExotelFault };

export const success = (data: object): ItemEnvelope => ({ code: 200, error_data: null, status: 'success', data });

export const failure = ({ status, code, message, description }: ExotelFault): ItemEnvelope => ({
  code: status,
  error_data: { code, message, description },
  status: 'failure',
  data: null,
});

const head = ({ requestId, method }: Asked, status: number): Head => ({
  request_id: requestId,
  method,
  http_code: status,
});

export const single = (asked: Asked, data: object): SingleEnvelope => ({
  ...head(asked, 200),
  response: success(data),
});

export const failed = (asked: Asked, fault: ExotelFault): SingleEnvelope => ({
  ...head(asked, fault.outerStatus ?? fault.status),
  response: failure(fault),
});

export const list = (asked: Asked, metadata: object, items: readonly object[]): ListEnvelope => ({
  ...head(asked, 200),
  metadata,
  response: items.map(success),
});

/** 207 when at least one item failed. */
export const bulk = (asked: Asked, outcomes: readonly ItemOutcome[]): ListEnvelope => {
  const response = outcomes.map((outcome) => ('data' in outcome ? success(outcome.data) : failure(outcome.fault)));
  const total = response.length;
  const failures = response.filter((item) => item.status === 'failure').length;
  return {
    ...head(asked, failures === 0 ? 200 : 207),
    metadata: { total, success: total - failures, failed: failures },
    response,
  };
};
