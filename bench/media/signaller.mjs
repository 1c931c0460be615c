// Calls beside the audio: signaller.mjs CALLS-PER-SECOND SECONDS. INVITE, 180, 200, ACK, BYE, through the node to a
// PBX in this process; times INVITE to 200 and tells the parent.
import { NODE, PBX, PSTN_NUMBER, SIGNALLER, SIP_PORT, nowMs, quantiles } from './places.mjs';
import { Caller, fields, openUdp, respond, sdpOf } from './sip.mjs';

const [rate, seconds] = process.argv.slice(2).map(Number);
const count = Math.round(rate * seconds);
const PATIENCE_MS = 5000;

const pbx = await openUdp(PBX, SIP_PORT);
const pbxSelf = `${PBX}:${SIP_PORT}`;
pbx.on('message', (data, from) => {
  const request = data.toString('latin1');
  const tag = fields(request, 'call-id')[0]?.slice(0, 20);
  const answer = (status, body) =>
    pbx.send(respond(request, status, { self: pbxSelf, tag, body }), from.port, from.address);
  if (request.startsWith('INVITE')) {
    answer('180 Ringing');
    answer('200 OK', sdpOf(PBX, 6000));
  } else if (request.startsWith('BYE')) answer('200 OK');
});

const socket = await openUdp(SIGNALLER, SIP_PORT);
const caller = new Caller(socket, `${SIGNALLER}:${SIP_PORT}`, { target: NODE, port: SIP_PORT });
const sdp = sdpOf(SIGNALLER, 6000);
const open = new Map();
const tookMs = [];
let placed = 0;

socket.on('message', (data) => {
  const text = data.toString('latin1');
  if (!text.startsWith('SIP/2.0 2')) return;
  const call = (fields(text, 'call-id')[0] ?? '').split('@')[0];
  const sentMs = open.get(call);
  const method = (fields(text, 'cseq')[0] ?? '').split(' ')[1];
  if (method === 'BYE') open.delete(call);
  else if (sentMs > 0) {
    tookMs.push(nowMs() - sentMs);
    open.set(call, 0);
    caller.bye(call, caller.acknowledge(call, PSTN_NUMBER, text));
  }
});

const finish = (waitedMs) => {
  if (open.size > 0 && waitedMs < PATIENCE_MS) return setTimeout(finish, 100, waitedMs + 100);
  process.send({ ...quantiles(tookMs), placed, failed: open.size }, () => process.disconnect());
  socket.close();
  pbx.close();
};

const startedMs = nowMs();
const beat = () => {
  const due = Math.min(count, Math.floor(((nowMs() - startedMs) * rate) / 1000));
  for (; placed < due; placed++) {
    const call = `s${placed}x${process.pid}`;
    open.set(call, nowMs());
    caller.invite(call, PSTN_NUMBER, sdp);
  }
  if (placed < count) setTimeout(beat, 1 + Math.random() * (1000 / rate));
  else finish(0);
};
beat();
process.on('disconnect', () => process.exit(0));
