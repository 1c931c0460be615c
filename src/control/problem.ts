import { TandemError } from '../kernel/index.js';

/** Why a change was not published. APIs say it in their own words; `code` is what they go by. */
export interface ControlProblem {
  readonly kind: 'control';
  readonly code: ControlProblemCode;
  readonly message: string;
  /** With `revision_conflict`: the revision that is current. */
  readonly revision?: string;
}

export type ControlProblemCode =
  | 'revision_conflict'
  | 'invalid_document'
  | 'reference_missing'
  | 'resource_in_use'
  | 'revision_too_large'
  | 'revision_not_found'
  | 'history_trimmed'
  | 'store_unreachable'
  | 'store_busy';

export const controlProblem = (code: ControlProblemCode, message: string, revision?: string): ControlProblem => ({
  kind: 'control',
  code,
  message,
  ...(revision === undefined ? {} : { revision }),
});

export const isControlProblem = (value: unknown): value is ControlProblem =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'control';

/** Codes of stores that a client can do something about; `trunk_not_found`: a number that no trunk of a file has. */
const CODES: { readonly [code: string]: ControlProblemCode } = {
  revision_conflict: 'revision_conflict',
  invalid_document: 'invalid_document',
  revision_too_large: 'revision_too_large',
  revision_not_found: 'revision_not_found',
  history_trimmed: 'history_trimmed',
  store_unreachable: 'store_unreachable',
  unreadable_document: 'store_unreachable',
  store_busy: 'store_busy',
  store_closed: 'store_unreachable',
};

/** What a store said. @throws what is no refusal but a fault */
export const storeProblem = (error: unknown): ControlProblem => {
  const code = error instanceof TandemError ? CODES[error.code] : undefined;
  if (code === undefined) throw error;
  return controlProblem(code, (error as TandemError).message);
};
