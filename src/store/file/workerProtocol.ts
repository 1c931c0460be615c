import type { RoutingChange, StoreProblem } from '../problem.js';
import type { DocumentFormat, EditedDocument } from './documentText.js';

/** What a worker is started with. */
export type WorkerTask =
  | {
      readonly kind: 'load';
      readonly path: string;
      readonly format: DocumentFormat;
      readonly knownHash: string | undefined;
    }
  | {
      readonly kind: 'edit';
      readonly path: string;
      readonly format: DocumentFormat;
      readonly change: Pick<RoutingChange, 'upserts' | 'deletes'>;
    };

/** What it posts. After a batch it waits for any message: the reader sets the pace, one batch a turn. */
export type WorkerReply =
  | { readonly kind: 'batch'; readonly json: string }
  | { readonly kind: 'loaded'; readonly hash: string }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'edited'; readonly edited: EditedDocument }
  | { readonly kind: 'problem'; readonly problem: StoreProblem };
