import type { RevisionSummary } from '../call/routing/history.js';

type RevisionHead = Omit<RevisionSummary, 'changes'>;

/** What is told of a revision besides its changes, from how a store keeps it. */
export const headOf = ({
  revision,
  base,
  author,
  at,
  note,
}: Omit<RevisionHead, 'note'> & { readonly note?: string | undefined }): RevisionHead => ({
  revision,
  base,
  author,
  at,
  ...(note === undefined ? {} : { note }),
});
