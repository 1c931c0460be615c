/** What an applet is: a schema, exits, and behaviour as a small state machine over the flow's events. */
import type { Static, TSchema } from '../../kernel/index.js';
import type { FlowDocument } from './document.js';
import type { FlowEffect, FlowSource, Party } from './effects.js';
import type { FlowEvent } from './events.js';
import type { CallFacts, History } from './state.js';
import type { Value, Values } from './values.js';

/** What becomes of the call where an exit leads nowhere. */
export type Unwired =
  /** The flow is refused at publish. */
  | 'refused'
  /** The call ends here. */
  | 'ends'
  /** As a failure: the node's `error` exit, the flow's fallback, the end. */
  | 'fails';

export interface ExitRule {
  readonly name: string;
  readonly unwired: Unwired;
}

/** How a flow ends the call. */
export interface Ending {
  /** Snake case; goes into the call's record. */
  readonly reasonCode: string;
  /** ITU-T Q.850. */
  readonly cause: number;
  /** For a caller who is not answered. */
  readonly sipStatus: number;
}

/** What a node does next. Data between events is the applet's own and never changed in place. */
export type Outcome<Data> =
  | { readonly kind: 'wait'; readonly data: Data }
  | {
      readonly kind: 'exit';
      readonly exit: string;
      readonly results: Values;
      /** How the call ends where this exit leads nowhere and may; default: normal clearing. */
      readonly ending?: Ending;
    }
  | { readonly kind: 'fail'; readonly code: string; readonly message: string; readonly results: Values }
  | { readonly kind: 'end'; readonly ending: Ending; readonly results: Values }
  /** On with another flow, from its beginning. */
  | { readonly kind: 'flow'; readonly flow: FlowDocument };

export const wait = <Data>(data: Data): Outcome<Data> => ({ kind: 'wait', data });
export const exit = (name: string, results: Values = {}, ending?: Ending): Outcome<never> => ({
  kind: 'exit',
  exit: name,
  results,
  ...(ending === undefined ? {} : { ending }),
});
export const fail = (code: string, message: string, results: Values = {}): Outcome<never> => ({
  kind: 'fail',
  code,
  message,
  results,
});

/** The executor as an applet sees it during one event. */
export interface NodeRun {
  readonly nodeId: string;
  readonly flowId: string;
  /** The call's clock. */
  readonly nowMs: number;
  /** Wall clock, milliseconds since 1970-01-01 UTC. */
  readonly wallMs: number;
  readonly call: CallFacts;
  readonly answered: boolean;
  /** Neither answered nor being answered. */
  readonly unanswered: boolean;
  /** The caller hears us, although it is not answered. */
  readonly early: boolean;
  readonly hungUp: boolean;
  readonly history: History;
  /** Background streams or recordings run: the media cannot leave the media plane. */
  readonly anchored: boolean;
  /** Streams that go on behind the nodes. */
  readonly backgroundStreams: number;
  /** Keys pressed before anybody asked; taken, they are gone. */
  takeTyped(): string;
  wired(exit: string): boolean;
  /** Text with its templates filled in. Templates were checked when the flow was published. */
  text(template: string): string;
  /** As `text`, percent-encoding what is filled in, except at the very beginning: a caller's words make no URL. */
  url(template: string): string;
  condition(expression: string): Value;
  /** An id that is unique in the call. */
  newId(prefix: string): string;
  emit(effect: FlowEffect): void;
  /** Starts playing; templates in texts, paths and URLs are filled in. @returns the id */
  play(sources: readonly FlowSource[], options?: { to?: Party; repeat?: number }): string;
  /** Timers are the node's own and end with it. Setting one again restarts it. */
  setTimer(name: string, ms: number): void;
  cancelTimer(name: string): void;
  isTimer(event: FlowEvent, name: string): boolean;
  /** For the trace. Secrets are masked by the applet. */
  input(name: string, value: Value): void;
  remember(facts: History): void;
}

/** Reports what the schema cannot say. `path` is relative to the params: `choices[0]`. */
export type ReportProblem = (path: string, rule: string) => void;

export interface Applet<Params = unknown, Data = unknown> {
  readonly name: string;
  /** One sentence, for people. */
  readonly does: string;
  readonly params: TSchema;
  /** Exits by params. `error` is everybody's, and not listed. */
  exits(params: Params): readonly ExitRule[];
  /** The caller's leg is answered before the node begins; `early`: early media will do. */
  needsAnswer(params: Params): boolean | 'early';
  /** The node waits for the caller to do something: a cycle through it is not a race. */
  readonly waitsForCaller: boolean;
  /** The call, or this flow, is over in this node. */
  readonly isEnd: boolean;
  /** Runs when the caller is gone, too. */
  readonly offline: boolean;
  /** Params that hold conditions, for the check of their variables. */
  conditions?(params: Params): readonly (readonly [path: string, expression: string])[];
  check?(params: Params, report: ReportProblem): void;
  enter(run: NodeRun, params: Params): Outcome<Data>;
  /** Any event while the node waits. Events of activities that do not run never come here, nor does the caller's end. */
  on(run: NodeRun, params: Params, visit: { readonly data: Data; readonly event: FlowEvent }): Outcome<Data>;
  /**
   * The caller is gone. An applet that has something to hear yet may wait for a moment; one that leaves by an exit lets
   * the nodes behind it run that need no caller. Without this the flow ends here.
   */
  onHangUp?(run: NodeRun, params: Params, data: Data): Outcome<Data>;
}

export type AppletSet = ReadonlyMap<string, Applet>;

type Optional = 'needsAnswer' | 'waitsForCaller' | 'isEnd' | 'offline';

/** An applet whose params are typed by its schema. */
export function defineApplet<Schema extends TSchema, Data>(
  definition: Omit<Applet<Static<Schema>, Data>, 'params' | Optional> &
    Partial<Pick<Applet<Static<Schema>, Data>, Optional>> & { readonly params: Schema },
): Applet {
  // The executor hands an applet back only the params and data that are its own.
  return {
    needsAnswer: () => false,
    waitsForCaller: false,
    isEnd: false,
    offline: false,
    ...definition,
  } as unknown as Applet;
}
