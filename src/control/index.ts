/** What changes the routing document, and what is known of it beyond the compiled table. */
export { type Author, type Change, authorText, dateText, removalOfTrunk } from './change.js';
export { type ChangeOptions, Control, type ControlDeps, type Decided, type Published } from './control.js';
export { CsvReader, type CsvRow } from './deck/csv.js';
export { type BadRow, type Deck, type DeckGroup, type DeckOptions, DeckReader } from './deck/deck.js';
export { type DeckDifference, type GroupPrice, deckChange } from './deck/deckChange.js';
export type { Directory, DirectorySize } from './directory.js';
export { type DirectoryDraft, DirectoryHolder } from './directoryHolder.js';
export { listedId } from './listedId.js';
export { CHANGED_MASK, MASK, masked, maskedChange, unmasked } from './masking.js';
export { notOwned, ownerOf, resourcesOf } from './ownership.js';
export { type ControlProblem, type ControlProblemCode, isControlProblem } from './problem.js';
export { existing, flowsOf } from './references.js';
