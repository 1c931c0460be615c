/** The account of a call's way through its flow: one step per node visited. */
import type { Values } from './values.js';

export interface TraceStep {
  /** 1 for the first. */
  readonly step: number;
  readonly flowId: string;
  readonly flowVersion: number;
  readonly nodeId: string;
  readonly applet: string;
  /** What the applet worked on, templates filled in; credentials in URLs are masked, digits are not in it. */
  readonly inputs: Values;
  /** Exit taken; `caller_hung_up`, `call_ended` or `transferred` where the node was left otherwise. */
  readonly exit: string;
  /** Node that follows; null when none does. */
  readonly next: string | null;
  /** From the call's clock: the `nowMs` at entering. */
  readonly enteredMs: number;
  readonly durationMs: number;
  /** Why an `error` exit was taken. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** A URL for others to see: without user and password. */
export const withoutCredentials = (url: string): string => {
  const scheme = url.indexOf('://');
  if (scheme < 0) return url;
  const end = url.slice(scheme + 3).search(/[/?#]/);
  const authority = end < 0 ? url.length : scheme + 3 + end;
  const at = url.lastIndexOf('@', authority);
  return at < scheme ? url : url.slice(0, scheme + 3) + url.slice(at + 1);
};

/** A URL for traces: queries can hold tokens. */
export const maskUrl = (url: string): string => {
  const query = url.indexOf('?');
  return withoutCredentials(query < 0 ? url : `${url.slice(0, query)}?***`);
};
