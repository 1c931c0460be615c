/** How much history a store keeps. Whichever bound comes first; the newest revision is always kept. */
export interface HistoryBounds {
  readonly revisions: number;
  /** Of what revisions changed, before and after, as JSON text. */
  readonly bytes: number;
}

export const HISTORY_BOUNDS: HistoryBounds = { revisions: 1_000, bytes: 64 * 1024 * 1024 };

/** The count that a revision's id begins with; -1 for what is no revision of ours. */
export const countOf = (revision: string): number => {
  const digits = /^([0-9]{1,15})(?:-|$)/.exec(revision)?.[1];
  return digits === undefined ? -1 : Number(digits);
};
