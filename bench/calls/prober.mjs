// Times INVITE -> 200 with a fine clock, beside the load: prober.mjs TARGET-ADDRESS CALLS-PER-SECOND SECONDS
// SIPp's own clock steps by milliseconds. Prints one line of JSON: calls, lost, and milliseconds at quantiles.
import { createSocket } from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { NUMBER, PORT, PROBER } from './places.mjs';

const [target, rateText, secondsText] = process.argv.slice(2);
const rate = Number(rateText);
const count = Math.max(1, Math.round(rate * Number(secondsText)));
const LOST_AFTER_MS = 5000;

const sdp = [
  'v=0',
  `o=prober 1 1 IN IP4 ${PROBER}`,
  's=-',
  `c=IN IP4 ${PROBER}`,
  't=0 0',
  'm=audio 6000 RTP/AVP 0 8 101',
  'a=rtpmap:0 PCMU/8000',
  'a=rtpmap:8 PCMA/8000',
  'a=rtpmap:101 telephone-event/8000',
  'a=sendrecv',
  '',
].join('\r\n');

const run = randomBytes(4).toString('hex');
const socket = createSocket({ type: 'udp4', lookup: (host, options, done) => done(null, host, 4) });
const calls = new Map();
const timesMs = [];

const request = (call, { method, uri, routes = [], to = '', cseq, body = '' }) =>
  Buffer.from(
    [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP ${PROBER}:${PORT};branch=z9hG4bK${call}${method}`,
      ...routes.map((route) => `Route: ${route}`),
      `From: "Prober" <sip:+919812345678@${PROBER}:${PORT}>;tag=${call}`,
      `To: <sip:${NUMBER}@${target}:${PORT}>${to}`,
      `Call-ID: ${call}@${PROBER}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: <sip:prober@${PROBER}:${PORT}>`,
      'Max-Forwards: 70',
      ...(body === '' ? [] : ['Content-Type: application/sdp']),
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
    'latin1',
  );

const fields = (text, name) =>
  text
    .split('\r\n')
    .filter((line) => line.toLowerCase().startsWith(`${name}:`))
    .map((line) => line.slice(name.length + 1).trim());

const place = (call) => {
  const invite = request(call, {
    method: 'INVITE',
    uri: `sip:${NUMBER}@${target}:${PORT}`,
    cseq: 1,
    body: sdp,
  });
  calls.set(call, { sentAt: process.hrtime.bigint(), answered: false });
  socket.send(invite, PORT, target);
};

/** ACK and BYE follow the Record-Route path, which starts at the target in either system. */
const confirm = (call, text) => {
  const uri = /<([^>]+)>/.exec(fields(text, 'contact')[0] ?? '')?.[1] ?? `sip:${NUMBER}@${target}`;
  const routes = fields(text, 'record-route')
    .flatMap((value) => value.split(','))
    .reverse();
  const to = /;tag=[^;>\s]+/.exec(fields(text, 'to')[0] ?? '')?.[0] ?? '';
  socket.send(request(call, { method: 'ACK', uri, routes, to, cseq: 1 }), PORT, target);
  socket.send(request(call, { method: 'BYE', uri, routes, to, cseq: 2 }), PORT, target);
};

socket.on('message', (data) => {
  const now = process.hrtime.bigint();
  const text = data.toString('latin1');
  const status = Number(text.slice(8, 11));
  const id = (fields(text, 'call-id')[0] ?? '').split('@')[0];
  const call = calls.get(id);
  if (call === undefined || status < 200) return;
  const method = (fields(text, 'cseq')[0] ?? '').split(' ')[1];
  if (method === 'BYE') calls.delete(id);
  else if (status === 200 && method === 'INVITE' && !call.answered) {
    call.answered = true;
    timesMs.push(Number(now - call.sentAt) / 1e6);
    confirm(id, text);
  }
});

const report = (waitedMs) => {
  if (calls.size > 0 && waitedMs < LOST_AFTER_MS) return setTimeout(report, 100, waitedMs + 100);
  timesMs.sort((a, b) => a - b);
  const at = (q) => timesMs[Math.min(timesMs.length - 1, Math.floor(q * timesMs.length))] ?? Infinity;
  const result = { calls: placed, lost: calls.size, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  console.log(JSON.stringify(result));
  socket.close();
};

let placed = 0;
const next = () => {
  if (placed === count) return report(0);
  place(`${run}${placed++}`);
  // Random gaps: a fixed beat would ride on the beat of the load.
  setTimeout(next, (500 + Math.random() * 1000) / rate);
};
socket.bind(PORT, PROBER, next);
