/** Revisions of every store begin with their count; -1 for what is none. */
export const revisionNumber = (revision: string): number => {
  const number = Number.parseInt(revision, 10);
  return Number.isNaN(number) ? -1 : number;
};
