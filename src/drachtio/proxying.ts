/** The `proxy` frame: a request that its application leaves to the server. */
import type { ProxyListener, ProxyPlan, ProxyRefusal, SipRequest, SipResponse, Source } from '../sip/index.js';
import type { AppRequest } from './appMessage.js';
import { nobodyAt, proxiedLeader, sender, timeOfDay } from './envelope.js';
import type { Frame } from './frames.js';
import { proxiedHeaders } from './headerRules.js';
import type { Asked, Ledger } from './ledger.js';
import { REFUSALS, type Reply, nok } from './replies.js';

/** Tokens before the first destination. */
const FIRST_DESTINATION = 9;

export interface ProxyOrder {
  readonly txnId: string;
  readonly plan: ProxyPlan;
  /** Tell each final answer, not only the end. */
  readonly fullResponse: boolean;
}

/** `2s`, `1500ms`; drachtio reads a bare number as milliseconds. */
const duration = (text: string): number | undefined => {
  const match = /^(\d{1,9})(ms|s)?$/.exec(text.trim());
  if (match === null) return undefined;
  const value = Number(match[1]) * (match[2] === 's' ? 1000 : 1);
  return value > 0 ? value : undefined;
};

/** @returns undefined when a token is missing. */
export function proxyOrder({ tokens }: Frame, request: AppRequest): ProxyOrder | undefined {
  const [, , txnId, remain, full, follow, order, provisional, final] = tokens;
  const targets = tokens.slice(FIRST_DESTINATION).filter((target) => target !== '');
  if (txnId === undefined || targets.length === 0) return undefined;
  return {
    txnId,
    fullResponse: full === 'fullResponse',
    plan: {
      targets,
      parallel: order === 'simultaneous',
      recordRoute: remain === 'remainInDialog',
      followRedirects: follow === 'followRedirects',
      provisionalTimeoutMs: duration(provisional ?? ''),
      finalTimeoutMs: duration(final ?? ''),
      headers: proxiedHeaders(request),
    },
  };
}

export function proxyRefused({ refusal, detail }: ProxyRefusal, order: ProxyOrder): Reply {
  switch (refusal) {
    case 'answered':
      return nok(REFUSALS.unknownProxied(order.txnId));
    case 'too_many_hops':
      return nok('Rejected with 483 Too Many Hops due to Max-Forwards value of 0');
    case 'invalid_target':
    case 'stopped':
      return nok(`error proxying request to ${order.plan.targets.join(', ')}: ${detail}`);
  }
}

/** Tells an application what became of a request that it had proxied; several frames answer its one. */
export class ProxyReport implements ProxyListener {
  readonly #ledger: Ledger;
  /** Undefined where nobody asked: a request that was routed without an application. */
  readonly #asked: Asked | undefined;
  readonly #isInvite: boolean;

  constructor(ledger: Ledger, request: SipRequest, asked: Asked | undefined) {
    this.#ledger = ledger;
    this.#asked = asked;
    this.#isInvite = request.method === 'INVITE';
  }

  onForwarded(request: SipRequest): void {
    this.#ledger.meters.requestOut(request.method);
    if (this.#isInvite) this.#ledger.records.attempt('application', request);
  }

  onTargetFinal(response: SipResponse, source: Source | undefined): void {
    if (source !== undefined) this.#ledger.meters.responseIn(response.cseq.method, response.status);
    if (this.#isInvite) {
      if (response.status < 300) this.#ledger.records.start('network', 'proxy-uac', response);
      else this.#ledger.records.stop('network', response.status === 487 ? 'call-canceled' : 'call-rejected', response);
    }
    const asked = this.#asked;
    if (asked?.fullResponse !== true) return;
    const bytes = response.toBuffer();
    const end = source === undefined ? nobodyAt(bytes.length) : { ...sender(source), bytes: bytes.length };
    asked.owner.send(proxiedLeader(asked.frameId, end, timeOfDay(this.#ledger.clock)), bytes);
  }

  onDone(response: SipResponse | undefined): void {
    if (response !== undefined) {
      this.#ledger.meters.responseOut(response.cseq.method, response.status);
      if (this.#isInvite) {
        if (response.status < 300) this.#ledger.records.start('application', 'proxy-uas', response);
        else
          this.#ledger.records.stop(
            'application',
            response.status === 487 ? 'call-canceled' : 'call-rejected',
            response,
          );
      }
    }
    this.#asked?.owner.send(`response|${this.#asked.frameId}|OK|done`);
  }
}
