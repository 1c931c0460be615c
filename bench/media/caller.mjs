// The telephones of the media bench, in one process: caller.mjs STREAMS. Places the calls, sends 20 ms of audio each in
// turn and judges what comes back. The parent says 'measure', then 'report', then 'end'.
import { Telephones } from './telephones.mjs';
import { AUDIO_PORT, CALLER, ECHO_NUMBER, NODE, SIP_PORT, TALKER_NUMBER } from './places.mjs';
import { Caller, bodyOf, fields, openUdp, sdpOf } from './sip.mjs';

const streams = Number(process.argv[2]);
/** So that what comes in a burst finds room: what the system holds for one socket is little. */
const SOCKETS = 16;
const CALLS_PER_SECOND = 40;

const sockets = [];
for (let i = 0; i < SOCKETS; i++) sockets.push(await openUdp(CALLER, AUDIO_PORT + 2 * i));
for (const socket of sockets) socket.setRecvBufferSize(1 << 20);
const telephones = new Telephones(sockets, streams);

const sip = await openUdp(CALLER, SIP_PORT);
const caller = new Caller(sip, `${CALLER}:${SIP_PORT}`, { target: NODE, port: SIP_PORT });
const run = `c${process.pid}x`;
const dialogs = new Map();
/** The last call hears the bot that talks. */
const numberOf = (index) => (index === streams ? TALKER_NUMBER : ECHO_NUMBER);

const answered = (index, text) => {
  dialogs.set(index, caller.acknowledge(`${run}${index}`, numberOf(index), text));
  telephones.connect(index, Number(/^m=audio (\d+)/m.exec(bodyOf(text))?.[1]));
};

sip.on('message', (data, from) => {
  const text = data.toString('latin1');
  if (!text.startsWith('SIP/2.0')) {
    // A call that the node ends: the rest of the report shows it.
    process.send({ ended: fields(text, 'reason').join() || text.split('\r\n', 1)[0] });
    return;
  }
  const index = Number((fields(text, 'call-id')[0] ?? '').split('@')[0].slice(run.length));
  const status = Number(text.slice(8, 11));
  const method = (fields(text, 'cseq')[0] ?? '').split(' ')[1];
  if (status < 200) return;
  if (method === 'BYE') dialogs.delete(index);
  else if (status >= 300) process.send({ ended: `${text.split('\r\n', 1)[0]} from ${from.port}` });
  else if (dialogs.has(index)) caller.acknowledge(`${run}${index}`, numberOf(index), text);
  else answered(index, text);
});

let placed = 0;
const place = setInterval(() => {
  const index = placed++;
  caller.invite(`${run}${index}`, numberOf(index), sdpOf(CALLER, AUDIO_PORT + 2 * (index % SOCKETS)));
  if (placed > streams) clearInterval(place);
}, 1000 / CALLS_PER_SECOND);

const watch = setInterval(() => {
  process.send({ connected: telephones.connected, hearing: telephones.hearing });
}, 500);

process.on('message', (command) => {
  if (command === 'measure') telephones.measure();
  else if (command === 'rest') telephones.rest();
  else if (command === 'report') process.send({ report: telephones.report() });
  else if (command === 'end') {
    clearInterval(watch);
    telephones.stop();
    for (const [index, dialog] of dialogs) caller.bye(`${run}${index}`, dialog);
    setTimeout(() => process.exit(0), 1500);
  }
});
process.on('disconnect', () => process.exit(0));
telephones.start();
