import { CallLimiter } from '../call/admission/limiter.js';
import { UnlistedLog, screenSource } from '../call/admission/sourceGate.js';
import { decide } from '../call/routing/decide.js';
import { decideDial } from '../call/routing/decideDial.js';
import type { CallRequest, DecideContext, Decision } from '../call/routing/decision.js';
import { mediaSettingsOf } from '../call/routing/mediaSettings.js';
import type { TableHolder } from '../call/routing/compile.js';
import type { PinnedFlows } from '../call/session/flow/world.js';
import type { AdmittedCall } from '../call/session/liveCall.js';
import type { Admission } from '../call/session/service.js';
import { plainAddress } from '../call/session/request.js';
import type { Clock, Random } from '../kernel/index.js';
import type { SourceGate } from '../signal/index.js';

const NOTHING_HELD = (): void => {};

/** Admission and routing on the live table: what the call path, the source gate and `explain` share. */
export class LiveAdmission implements Admission, SourceGate {
  readonly limiter = new CallLimiter();
  readonly unlisted: 'reject' | 'drop';
  readonly #holder: TableHolder;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log = new UnlistedLog();

  constructor(
    holder: TableHolder,
    deps: { readonly clock: Clock; readonly random: Random; readonly unlisted: 'reject' | 'drop' },
  ) {
    this.#holder = holder;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.unlisted = deps.unlisted;
  }

  get revision(): string {
    return this.#holder.current.revision;
  }

  /** The decision alone: nothing is taken. */
  explain(request: CallRequest): Decision {
    return decide(this.#holder.current, request, this.#context());
  }

  admit(request: CallRequest): AdmittedCall {
    const table = this.#holder.current;
    const admitted = this.#take(() => decide(table, request, this.#context()));
    const { decision } = admitted;
    const flow = decision.flow === undefined ? undefined : table.flow(decision.flow.id);
    if (flow === undefined) return admitted;
    // The table of this moment is the call's until its end: flows and numbers do not change under its feet.
    const flows: PinnedFlows = {
      flow,
      media: mediaSettingsOf(table, decision, 'caller'),
      find: (flowId) => table.flow(flowId),
      dial: (wish) => {
        const dial = this.#take(() => decideDial(table, { decision, request }, wish, this.#context()));
        return { ...dial, media: mediaSettingsOf(table, dial.decision, 'callee') };
      },
    };
    return { ...admitted, flows };
  }

  isListed(address: string): boolean {
    const table = this.#holder.current;
    return !table.loaded || screenSource(table, plainAddress(address)) === 'known';
  }

  isWorthARecord(address: string, nowMs: number): boolean {
    return this.#log.shouldLog(address, nowMs);
  }

  /** Takes the limits of what was decided. */
  #take(decideNow: () => Decision): { readonly decision: Decision; release(): void } {
    const decision = decideNow();
    if (!decision.accepted) return { decision, release: NOTHING_HELD };
    const held = this.limiter.claim(decision.limits, this.#clock.nowMs());
    // The decision looked at the same counters a moment ago, in the same turn: they cannot have changed.
    if (!held.ok) return { decision: decideNow(), release: NOTHING_HELD };
    return { decision, release: () => this.limiter.release(held.value) };
  }

  #context(): DecideContext {
    return { limits: this.limiter, nowMs: this.#clock.nowMs(), random: this.#draw };
  }

  readonly #draw = (): number => this.#random.float();
}
