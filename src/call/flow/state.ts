/** Everything that a running flow knows. Plain data, never changed in place: each event makes a new state. */
import type { Activity } from './activity.js';
import type { AppletSet } from './applet.js';
import type { FlowDocument } from './document.js';
import type { FlowStreamReport } from './events.js';
import type { Values } from './values.js';

/** What is known of the call when its flow begins. */
export interface CallFacts {
  readonly sid: string;
  readonly accountSid: string;
  /** As the flow should see them: E.164 where known. */
  readonly from: string;
  readonly to: string;
  readonly direction: 'inbound' | 'outbound';
  /** Wall clock at the beginning, milliseconds since 1970-01-01 UTC. Later times are this plus the call's own clock. */
  readonly startedWallMs: number;
  /** `caller.*` in expressions: name, country, trunk ... */
  readonly caller: Values;
  /** `custom.*` in expressions. */
  readonly custom: Values;
}

/** What later nodes may ask of earlier ones: webhooks report it. */
export interface History {
  readonly stream?: FlowStreamReport & { readonly url: string };
  readonly dial?: { readonly whom: string; readonly outcome: string; readonly durationMs: number };
  readonly digits?: string;
  readonly recordingUrl?: string;
  readonly voicemail?: boolean;
}

/** The node that the call is in. */
export interface NodeVisit {
  readonly nodeId: string;
  readonly applet: string;
  readonly enteredMs: number;
  /** The applet's own; undefined while the caller's leg is being answered for it. */
  readonly data: unknown;
  readonly began: boolean;
  readonly inputs: Values;
}

export interface FlowState {
  /** The flow in the version that the call began with, or was transferred to. */
  readonly flow: FlowDocument;
  readonly applets: AppletSet;
  readonly call: CallFacts;
  readonly status: 'new' | 'running' | 'ended';
  /** The caller's leg: `asked` between the effect and its event. */
  readonly answered: 'no' | 'asked' | 'yes';
  /** The caller hears us, answered or not. */
  readonly early: boolean;
  /** The caller is gone; only nodes that need no caller run on. */
  readonly hungUp: boolean;
  readonly node: NodeVisit | undefined;
  /** What runs and will report its end; timers among it. */
  readonly activities: readonly Activity[];
  readonly variables: Values;
  /** Results of the nodes of this flow, by node. */
  readonly results: { readonly [nodeId: string]: Values };
  readonly history: History;
  /** Visits by node of this flow. */
  readonly visits: { readonly [nodeId: string]: number };
  readonly steps: number;
  readonly transfers: number;
  /** The fallback is taken once; what fails after it ends the call. */
  readonly fellBack: boolean;
  readonly nextId: number;
  readonly startedMs: number;
  /** Keys pressed that nobody has asked for yet. */
  readonly typed: string;
  readonly lastDigit: { readonly digit: string; readonly by: string; readonly atMs: number } | undefined;
  /** Why the flow is over; undefined until then. */
  readonly reasonCode: string | undefined;
}

/** A flow at its very beginning; the event `started` sets it going. */
export function initialState(flow: FlowDocument, applets: AppletSet, call: CallFacts): FlowState {
  return {
    flow,
    applets,
    call,
    status: 'new',
    answered: 'no',
    early: false,
    hungUp: false,
    node: undefined,
    activities: [],
    variables: flow.variables,
    results: {},
    history: {},
    visits: {},
    steps: 0,
    transfers: 0,
    fellBack: false,
    nextId: 1,
    startedMs: 0,
    typed: '',
    lastDigit: undefined,
    reasonCode: undefined,
  };
}
