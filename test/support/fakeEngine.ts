/** A SipEngine that does nothing by itself: it records what its user asks for, and tests play the network. */
import type {
  Dialog,
  DialogListener,
  HeaderField,
  IncomingInvite,
  IncomingInviteListener,
  IncomingRequest,
  OutgoingInvite,
  OutgoingInviteListener,
  OutgoingRequest,
  OutgoingRequestListener,
  ProxyRefusal,
  Refusal,
  RequestSpec,
  Responded,
  RespondRefusal,
  ResponseFields,
  SipEngine,
  Source,
} from '../../src/sip/face.js';
import { responseTo } from '../../src/sip/message/build.js';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';

export const HERE: Source = {
  transport: 'udp', address: '127.0.34.2', port: 5070, localAddress: '127.0.34.1', localPort: 5060, bytes: 400,
}; // prettier-ignore

let serial = 0;
const NO_BODY = Buffer.alloc(0);

export function fakeRequest(method: string, fields: Partial<Record<string, string>> = {}): SipRequest {
  const request = new SipRequest(method, fields['uri'] ?? 'sip:us@127.0.34.1');
  request.set('Via', `SIP/2.0/UDP 127.0.34.2:5070;branch=z9hG4bK${++serial}`);
  request.set('From', fields['from'] ?? '<sip:alice@127.0.34.2>;tag=alice');
  request.set('To', fields['to'] ?? '<sip:us@127.0.34.1>');
  request.set('Call-ID', fields['callId'] ?? 'call-1');
  return request.set('CSeq', `${fields['cseq'] ?? '1'} ${method}`);
}

/** What was given to `respond`. */
export interface Answer {
  readonly status: number;
  readonly fields: ResponseFields;
  readonly reliable: boolean;
}

class Answering {
  readonly answers: Answer[] = [];
  readonly request: SipRequest;
  readonly source: Source = HERE;
  /** Set to refuse the next response. */
  refuse: RespondRefusal | undefined;

  constructor(request: SipRequest) {
    this.request = request;
  }

  protected record(status: number, fields: ResponseFields = {}, reliable = false): Responded {
    if (this.refuse !== undefined) return { ok: false, refusal: this.refuse };
    this.answers.push({ status, fields, reliable });
    const response = responseTo(this.request, status, fields.reason);
    response.set('To', `${this.request.header('To')?.replace(/;tag=.*/, '') ?? ''};tag=${fields.toTag ?? 'us'}`);
    for (const [name, value] of fields.headers ?? []) response.add(name, value);
    if (reliable) response.set('RSeq', '1').set('Require', '100rel');
    response.body = fields.body ?? NO_BODY;
    return { ok: true, sent: response };
  }
}

export class FakeIncomingRequest extends Answering implements IncomingRequest {
  readonly dialog: Dialog | undefined;

  constructor(request: SipRequest, dialog?: Dialog) {
    super(request);
    this.dialog = dialog;
  }

  respond(status: number, fields?: ResponseFields): Responded {
    return this.record(status, fields);
  }
}

export class FakeIncomingInvite extends Answering implements IncomingInvite {
  dialog: FakeDialog | undefined;
  readonly isReinvite: boolean;
  listener: IncomingInviteListener | undefined;
  open = true;

  constructor(request: SipRequest, dialog?: FakeDialog) {
    super(request);
    this.dialog = dialog;
    this.isReinvite = dialog !== undefined;
  }

  respond(status: number, fields?: ResponseFields, reliable?: boolean): Responded {
    if (!this.open) return { ok: false, refusal: 'unknown_transaction' };
    const responded = this.record(status, fields, reliable);
    if (!responded.ok) return responded;
    if (status > 100 && status < 300) {
      const id = `${this.request.callId};from-tag=${this.request.fromTag ?? ''}`;
      this.dialog ??= new FakeDialog(id, 'us', this.request.fromTag ?? '');
      if (status >= 200) this.dialog.state = 'confirmed';
    }
    if (status >= 200) this.open = false;
    return responded;
  }

  cancelByPeer(): void {
    this.open = false;
    this.listener?.onCancel(fakeRequest('CANCEL', { callId: this.request.callId }));
  }

  ackByPeer(): void {
    this.listener?.onAck(fakeRequest('ACK', { callId: this.request.callId }), HERE);
  }
}

export class FakeSent implements OutgoingRequest {
  readonly request: SipRequest;
  readonly source: Source = HERE;
  readonly listener: OutgoingRequestListener;

  constructor(request: SipRequest, listener: OutgoingRequestListener) {
    this.request = request;
    this.listener = listener;
  }

  answer(status: number): void {
    this.listener.onResponse(responseTo(this.request, status), 'network', HERE);
  }
}

export class FakeInviteSent implements OutgoingInvite {
  readonly request: SipRequest;
  readonly source: Source = HERE;
  readonly dialogId: string;
  readonly listener: OutgoingInviteListener;
  readonly cancels: (readonly HeaderField[])[] = [];
  /** No provisional has come: a CANCEL is held. */
  silent = true;

  constructor(request: SipRequest, listener: OutgoingInviteListener) {
    this.request = request;
    this.listener = listener;
    this.dialogId = `${request.callId};from-tag=${request.fromTag ?? ''}`;
  }

  cancel(headers: readonly HeaderField[] = []): { request: SipRequest; held: boolean } | undefined {
    if (this.cancels.length > 0) return undefined;
    this.cancels.push(headers);
    return { request: fakeRequest('CANCEL', { callId: this.request.callId }), held: this.silent };
  }

  response(status: number, toTag: string, headers: readonly HeaderField[] = []): SipResponse {
    const response = responseTo(this.request, status);
    response.set('To', `${this.request.header('To') ?? ''};tag=${toTag}`);
    for (const [name, value] of headers) response.set(name, value);
    return response;
  }

  provisional(status: number, dialog: FakeDialog, headers?: readonly HeaderField[]): void {
    this.silent = false;
    this.listener.onProvisional(this.response(status, dialog.remoteTag, headers), dialog, HERE);
  }

  answered(dialog: FakeDialog, headers: readonly HeaderField[] = [['Contact', '<sip:bob@127.0.34.3>']]): void {
    dialog.state = 'confirmed';
    dialog.ackOwed = true;
    this.listener.onAnswered(this.response(200, dialog.remoteTag, headers), dialog, HERE);
  }

  failed(status: number): void {
    this.listener.onFailed(this.response(status, 'x'), 'network', HERE);
  }
}

export class FakeDialog implements Dialog {
  readonly id: string;
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly remoteTarget = 'sip:peer@127.0.34.2:5070';
  state: 'early' | 'confirmed' | 'terminated' = 'early';
  listener: DialogListener | undefined;
  readonly requests: (FakeSent & { readonly fields?: ResponseFields })[] = [];
  readonly invites: FakeInviteSent[] = [];
  readonly acks: ResponseFields[] = [];
  ackOwed = false;
  refuse: Refusal | undefined;
  /** Runs inside the next `ack`, as an engine that goes on at once would. */
  duringAck: (() => void) | undefined;

  constructor(id: string, localTag: string, remoteTag: string) {
    this.id = id;
    this.callId = id.split(';')[0] ?? '';
    this.localTag = localTag;
    this.remoteTag = remoteTag;
  }

  request(method: string, fields: ResponseFields, listener: OutgoingRequestListener): FakeSent | Refusal {
    if (this.refuse !== undefined) return this.refuse;
    const sent = Object.assign(new FakeSent(fakeRequest(method, { callId: this.callId }), listener), { fields });
    this.requests.push(sent);
    if (method === 'BYE' && this.state !== 'terminated') {
      this.state = 'terminated';
      this.listener?.onTerminated('local_bye', undefined);
    }
    return sent;
  }

  invite(fields: ResponseFields, listener: OutgoingInviteListener): FakeInviteSent | Refusal {
    if (this.refuse !== undefined) return this.refuse;
    const request = fakeRequest('INVITE', { callId: this.callId });
    request.body = fields.body ?? NO_BODY;
    const sent = new FakeInviteSent(request, listener);
    this.invites.push(sent);
    return sent;
  }

  end(): void {
    this.listener?.onTerminated('local_bye', undefined);
  }

  ack(fields: ResponseFields = {}): SipRequest | undefined {
    if (!this.ackOwed) return undefined;
    this.ackOwed = false;
    this.acks.push(fields);
    this.duringAck?.();
    return fakeRequest('ACK', { callId: this.callId });
  }

  ends(end: 'ack_timeout' | 'cancel_race' | 'lost' | 'remote_bye', bye?: SipRequest): void {
    this.state = 'terminated';
    this.listener?.onTerminated(end, bye);
  }
}

export class FakeEngine implements SipEngine {
  readonly listening = ['udp/127.0.34.1:5060', 'tcp/127.0.34.1:5060'];
  readonly specs: RequestSpec[] = [];
  readonly invites: FakeInviteSent[] = [];
  readonly requests: FakeSent[] = [];
  refuse: Refusal | undefined;

  invite(spec: Omit<RequestSpec, 'method'>, listener: OutgoingInviteListener): FakeInviteSent | Refusal {
    this.specs.push({ method: 'INVITE', ...spec });
    if (this.refuse !== undefined) return this.refuse;
    const callId = spec.callId ?? `out-${++serial}`;
    const request = fakeRequest('INVITE', { uri: spec.uri, callId, from: spec.from ?? '<sip:us@here>;tag=me' });
    this.invites.push(new FakeInviteSent(request, listener));
    return this.invites.at(-1) as FakeInviteSent;
  }

  request(spec: RequestSpec, listener: OutgoingRequestListener): FakeSent | Refusal {
    this.specs.push(spec);
    if (this.refuse !== undefined) return this.refuse;
    this.requests.push(new FakeSent(fakeRequest(spec.method, { callId: `out-${++serial}` }), listener));
    return this.requests.at(-1) as FakeSent;
  }

  /** The proxy's part is played against real peers, in the tests of proxying. */
  proxy(): ProxyRefusal {
    return { refusal: 'stopped', detail: 'a fake proxies nothing' };
  }

  locate(_uri: string, located: Parameters<SipEngine['locate']>[1]): void {
    located([]);
  }

  dump(): Record<string, unknown> {
    return {};
  }

  stop(): void {
    return;
  }
}
