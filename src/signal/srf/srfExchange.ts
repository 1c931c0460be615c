import { reasonPhrase } from '../../sip/index.js';
import type { IncomingReinvite, InDialogRequest, ResponseSpec } from '../port.js';
import { type SrfMessage, readMessage } from './srfMessage.js';
import { srfContent, toSrf } from './srfText.js';
import type { SrfRequest, SrfResponse } from './srfTypes.js';

/** How a response fared: sent (as echoed by the server), or why not. */
export type SentResponse = { readonly sent: SrfMessage } | { readonly refused: string };

/** Answers a request of srf. Never throws; `done` is not called when the connection is lost meanwhile. */
export function sendResponse(
  response: SrfResponse,
  status: number,
  spec: ResponseSpec = {},
  done: (outcome: SentResponse) => void = () => undefined,
): void {
  response.msg.status = response.status = status;
  response.msg.reason = toSrf(spec.reason ?? reasonPhrase(status));
  try {
    response.agent.sendResponse(response, srfContent(spec.headers, spec), (error, sent) => {
      if (sent !== undefined) done({ sent: readMessage(sent) });
      else done({ refused: String(error) });
    });
  } catch (error) {
    done({ refused: String(error) });
  }
}

/** ACK of a 2xx, body included. Never throws. */
export function sendAck(
  response: SrfResponse,
  dialogId: string,
  content?: ResponseSpec,
  done?: (ok: boolean) => void,
): void {
  try {
    response.sendAck(toSrf(dialogId), srfContent(content?.headers, content), (error) => done?.(!error));
  } catch {
    done?.(false);
  }
}

/** A final response that the server made because none came from the network (reference: no sender address). */
export function isLocal(response: SrfResponse): boolean {
  return response.source_address === undefined || response.source_address === '';
}

/** A request within a dialog, or outside any, that waits for its one answer. */
export class SrfInDialogRequest implements InDialogRequest {
  readonly message: SrfMessage;
  readonly #response: SrfResponse;
  #answered = false;

  constructor(message: SrfMessage, response: SrfResponse) {
    this.message = message;
    this.#response = response;
  }

  respond(status: number, spec?: ResponseSpec): void {
    if (this.#answered) return;
    this.#answered = true;
    sendResponse(this.#response, status, spec);
  }
}

/** What a leg is told of a re-INVITE that it received. */
export interface ReinviteObserver {
  /** Withdrawn by the peer before, or at the very moment when, it was answered. */
  onCancelled(reinvite: SrfReinvite): void;
  onAnswered(reinvite: SrfReinvite, status: number): void;
}

export class SrfReinvite implements IncomingReinvite {
  readonly message: SrfMessage;
  readonly #response: SrfResponse;
  readonly #observer: ReinviteObserver;
  #state: 'pending' | 'answered' | 'cancelled' = 'pending';

  constructor(request: SrfRequest, response: SrfResponse, observer: ReinviteObserver) {
    this.message = readMessage(request.msg);
    this.#response = response;
    this.#observer = observer;
    request.on('cancel', () => this.#cancelled());
  }

  get pending(): boolean {
    return this.#state === 'pending';
  }
  get cseq(): number {
    return this.message.cseq.seq;
  }

  respond(status: number, spec?: ResponseSpec): void {
    if (this.#state !== 'pending') return;
    if (status < 200) {
      sendResponse(this.#response, status, spec);
      return;
    }
    this.#state = 'answered';
    this.#observer.onAnswered(this, status);
    sendResponse(this.#response, status, spec, (outcome) => {
      // The CANCEL was ahead of our answer: the server has sent 487 already, and srf no longer tells of it.
      if ('refused' in outcome && /unknown transaction/i.test(outcome.refused)) this.#cancelled();
    });
  }

  #cancelled(): void {
    if (this.#state === 'cancelled') return;
    this.#state = 'cancelled';
    this.#observer.onCancelled(this);
  }
}
