/** What lint reports. */
export interface Finding {
  /** `error`: calls fail. `warning`: some may, or go where they should not. `info`: nothing is wrong yet. */
  readonly severity: 'error' | 'warning' | 'info';
  /** Machine-readable, snake_case. */
  readonly code: string;
  readonly path: string;
  readonly message: string;
  readonly remedy: string;
}

export type Report = (
  severity: Finding['severity'],
  code: string,
  path: string,
  texts: readonly [string, string],
) => void;
