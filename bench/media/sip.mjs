// As much SIP as a load generator needs: requests, responses, and the dialog of a call that we placed.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** A bound socket that sends to numeric addresses without asking anybody. */
export const openUdp = async (address, port) => {
  const socket = createSocket({ type: 'udp4', lookup: (host, _options, done) => done(null, host, 4) });
  // Bound within the call, as nothing is looked up.
  const listening = once(socket, 'listening');
  socket.bind(port, address);
  await listening;
  return socket;
};

export const sdpOf = (address, port) =>
  [
    'v=0',
    `o=bench 1 1 IN IP4 ${address}`,
    's=-',
    `c=IN IP4 ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0 101`,
    'a=rtpmap:0 PCMU/8000',
    'a=rtpmap:101 telephone-event/8000',
    'a=ptime:20',
    'a=sendrecv',
    '',
  ].join('\r\n');

/** All values of a header field, by its lower-case name. */
export const fields = (text, name) =>
  text
    .split('\r\n')
    .filter((line) => line.toLowerCase().startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trim());

export const bodyOf = (text) => text.slice(text.indexOf('\r\n\r\n') + 4);

/** Calls placed from one socket, all to one target. */
export class Caller {
  #socket;
  #self;
  #target;
  #port;

  /** @param self `address:port` of the socket @param target address of the node @param port of the node */
  constructor(socket, self, { target, port }) {
    this.#socket = socket;
    this.#self = self;
    this.#target = target;
    this.#port = port;
  }

  invite(call, number, sdp) {
    this.#send(call, 'INVITE', { uri: `sip:${number}@${this.#target}:${this.#port}`, number, cseq: 1, body: sdp });
  }

  /** ACK of a 200 to our INVITE. @returns what `bye` needs */
  acknowledge(call, number, response) {
    const dialog = {
      number,
      uri: /<([^>]+)>/.exec(fields(response, 'contact')[0] ?? '')?.[1] ?? `sip:${number}@${this.#target}`,
      routes: fields(response, 'record-route').reverse(),
      to: /;tag=[^;>\s]+/.exec(fields(response, 'to')[0] ?? '')?.[0] ?? '',
    };
    this.#send(call, 'ACK', { ...dialog, cseq: 1 });
    return dialog;
  }

  bye(call, dialog) {
    this.#send(call, 'BYE', { ...dialog, cseq: 2 });
  }

  #send(call, method, { uri, number, routes = [], to = '', cseq, body = '' }) {
    const lines = [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${this.#self};branch=z9hG4bK${call}${method}`,
      ...routes.map((route) => `Route: ${route}`),
      `From: <sip:+919812345678@${this.#self}>;tag=${call}`,
      `To: <sip:${number}@${this.#target}>${to}`,
      `Call-ID: ${call}@bench`,
      `CSeq: ${cseq} ${method}`,
      `Contact: <sip:bench@${this.#self}>`,
      'Max-Forwards: 70',
      ...(body === '' ? [] : ['Content-Type: application/sdp']),
      `Content-Length: ${body.length}`,
      '',
      body,
    ];
    this.#socket.send(Buffer.from(lines.join('\r\n'), 'latin1'), this.#port, this.#target);
  }
}

/** Answer to a request, with its Via, From, Call-ID, CSeq and Record-Route. */
export const respond = (request, status, { self, tag, body = '' }) => {
  const copied = ['via', 'record-route', 'from', 'call-id', 'cseq'].flatMap((name) =>
    fields(request, name).map((value) => `${name}: ${value}`),
  );
  const to = fields(request, 'to')[0] ?? '';
  const lines = [
    `SIP/2.0 ${status}`,
    ...copied,
    `to: ${/;tag=/.test(to) ? to : `${to};tag=${tag}`}`,
    `contact: <sip:bench@${self}>`,
    ...(body === '' ? [] : ['content-type: application/sdp']),
    `content-length: ${body.length}`,
    '',
    body,
  ];
  return Buffer.from(lines.join('\r\n'), 'latin1');
};
