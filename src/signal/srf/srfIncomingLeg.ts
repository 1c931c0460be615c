import type {
  HeaderEntry,
  IncomingLeg,
  InDialogRequest,
  LegEvents,
  ProgressSpec,
  ResponseSpec,
  SignalSource,
} from '../port.js';
import type { Timer } from '../../kernel/index.js';
import { sendResponse } from './srfExchange.js';
import { type LegContext, SrfLeg } from './srfLeg.js';
import { type SrfMessage, readMessage } from './srfMessage.js';
import type { SrfRequest, SrfResponse } from './srfTypes.js';

/** Longer than the 64*T1 in which a 2xx is repeated. */
const ACK_WAIT_MS = 33_000;

const NO_EVENTS: LegEvents = {
  onRequest: () => undefined,
  onReinvite: () => undefined,
  onAck: () => undefined,
  onReinviteCancelled: () => undefined,
  onEnded: () => undefined,
};

export function sourceOf(request: SrfRequest): SignalSource {
  return { transport: request.protocol, address: request.source_address, port: request.source_port };
}

/** The caller's leg. The server has sent 100; CANCEL, whenever it comes, it answers itself and tells us. */
export class SrfIncomingLeg extends SrfLeg implements IncomingLeg {
  readonly message: SrfMessage;
  readonly source: SignalSource;
  readonly #response: SrfResponse;
  #events: LegEvents | undefined;
  #localTag = '';
  #acknowledged = false;
  /** Who is told of the PRACK of a reliable provisional, by its RSeq. */
  readonly #pracks = new Map<string, (prack: InDialogRequest) => void>();
  /** BYE asked for before the ACK: RFC 3261 §15 lets a callee send it only afterwards. */
  #heldBye: { readonly headers: readonly HeaderEntry[] | undefined } | undefined;
  #byeTimer: Timer | undefined;

  constructor(context: LegContext, request: SrfRequest, response: SrfResponse, message: SrfMessage) {
    super(context, { role: 'uas', callId: message.callId, fromTag: message.fromTag });
    this.message = message;
    this.source = sourceOf(request);
    this.#response = response;
    request.on('cancel', (cancel) => context.cancelled(readMessage(cancel)));
    this.takeUpdates(request);
  }

  get localTag(): string {
    return this.#localTag;
  }
  get remoteTag(): string {
    return this.message.fromTag;
  }
  protected get sink(): LegEvents {
    return this.#events ?? NO_EVENTS;
  }

  /** The application has taken the leg. */
  attach(events: LegEvents): void {
    this.#events = events;
    this.open();
  }

  progress(status: number, spec: ProgressSpec = {}): void {
    if (this.ended || this.confirmed || status <= 100 || status >= 200) return;
    // RFC 3262 §3: a caller that requires it gets its provisionals reliably.
    const requires = this.message.headers().some(([name, value]) => name === 'Require' && /\b100rel\b/i.test(value));
    const headers: HeaderEntry[] =
      requires || spec.reliable !== undefined
        ? [...(spec.headers ?? []), ['Require', '100rel']]
        : [...(spec.headers ?? [])];
    sendResponse(this.#response, status, { ...spec, headers }, (outcome) => {
      if (!('sent' in outcome)) return;
      this.#localTag = outcome.sent.toTag;
      if (spec.reliable !== undefined) this.#pracks.set(outcome.sent.header('RSeq') ?? '', spec.reliable);
    });
  }

  protected override onPrack = (prack: InDialogRequest): void => {
    const [rseq = ''] = (prack.message.header('RAck') ?? '').split(' ');
    const tell = this.#pracks.get(rseq);
    this.#pracks.delete(rseq);
    if (tell === undefined || this.ended) prack.respond(200);
    else this.deliver(() => tell(prack));
  };

  answer(spec: ResponseSpec): void {
    if (this.ended || this.confirmed) return;
    this.markConfirmed();
    sendResponse(this.#response, 200, spec, (outcome) => {
      if ('sent' in outcome) {
        this.#localTag = outcome.sent.toTag;
        return;
      }
      // The CANCEL was ahead of our answer: the server has sent 487 already, and srf no longer tells of it.
      const cancelled = /unknown transaction/i.test(outcome.refused);
      this.end(cancelled ? { kind: 'cancelled', message: undefined } : { kind: 'dialog_lost', status: undefined });
    });
  }

  reject(status: number, spec?: ResponseSpec): void {
    if (this.ended || this.confirmed || status < 300 || status > 699) return;
    sendResponse(this.#response, status, spec);
    this.close();
    this.release();
  }

  protected override sendBye(headers?: readonly HeaderEntry[]): void {
    if (this.#acknowledged) {
      super.sendBye(headers);
      return;
    }
    this.#heldBye = { headers };
    // A server ends a call without ACK by itself, but a drachtio-server only those over UDP.
    this.#byeTimer = this.link.clock.setTimer('srf held bye', ACK_WAIT_MS, () => this.#sendHeldBye());
  }

  protected override release(): void {
    this.#byeTimer?.cancel();
    super.release();
  }

  #sendHeldBye(): void {
    this.#byeTimer?.cancel();
    const held = this.#heldBye;
    this.#heldBye = undefined;
    if (held !== undefined) super.sendBye(held.headers);
  }

  protected onFirstAck(ack: SrfMessage): void {
    if (this.#acknowledged || !this.confirmed) return;
    this.#acknowledged = true;
    if (!this.ended) this.deliver(() => this.sink.onAck(this, ack, undefined));
    this.#sendHeldBye();
  }

  /** The caller withdrew; the server has answered. */
  onCancel(cancel: SrfMessage): void {
    if (!this.confirmed) this.end({ kind: 'cancelled', message: cancel });
  }

  /** RFC 3261 §15.1.2: a caller may end an early dialog by BYE; the INVITE still gets its answer. */
  protected onEarlyBye(bye: SrfMessage): void {
    sendResponse(this.#response, 487);
    this.end({ kind: 'remote_bye', message: bye });
  }

  protected onServerBye(reason: string, _bye: SrfMessage): void {
    if (/ACK timeout/i.test(reason)) this.end({ kind: 'ack_timeout' });
    else if (/CANCEL after 200/i.test(reason)) this.end({ kind: 'cancelled', message: undefined });
    else this.end({ kind: 'dialog_lost', status: undefined });
  }

  onEngineLost(): void {
    this.end({ kind: 'engine_lost' });
  }
}
