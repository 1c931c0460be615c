/** A call that nobody dialled: asked for by an API, placed by Tandem, answered by whoever is called. */
import type { FlowDocument } from '../../flow/document.js';
import type { CallRequest } from '../../routing/decision.js';
import type { AdmittedDial, PinnedFlows } from '../flow/world.js';

export interface OriginateOrder {
  readonly accountSid: string;
  /** Caller ID: a number of one of the account's trunks, E.164. */
  readonly from: string;
  /** Whom to call. */
  readonly to: string;
  /** What runs once the call is answered: a flow of the routing document, or one made for this call. */
  readonly flow: string | FlowDocument;
  /** Readable in the flow as `custom.NAME`. Names are lower case letters, digits and `_`. */
  readonly custom: { readonly [name: string]: string };
  /** Name shown with the number. */
  readonly callerName?: string | undefined;
  /** Longest time to an answer; default: `calls.maxSetupMs` for each destination. */
  readonly ringMs?: number | undefined;
  /** Longest time from the answer on; default: `calls.maxCallMs`. */
  readonly maxMs?: number | undefined;
  /** Whoever asked, for the record. */
  readonly source: { readonly address: string; readonly port: number };
}

/** Why a call was not even tried. */
export type OriginateRefusal =
  'caller_number_unknown' | 'flow_unknown' | 'flow_not_available' | 'draining' | 'node_full';

/** What admission makes of an order. */
export interface AdmittedOrigin {
  readonly request: CallRequest;
  /** Refused calls have a decision, too. */
  readonly dial: AdmittedDial;
  readonly flows: PinnedFlows;
}
