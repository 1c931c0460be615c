import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseWav, wavHeader, wavSamples } from '../../../src/media/codec/wav.js';
import type { EndpointSpec, MediaEndpoint, MediaPort } from '../../../src/media/index.js';
import { EventLog } from './events.js';
import { RtpPeer, amplitudeAt, greatestAmplitude, sine, usualAmplitude } from './peer.js';

export interface ContractOptions {
  /** A started engine, and how to look whether it holds anything. */
  readonly makePort: (rtpPorts: readonly [number, number]) => MediaPort;
  /** Where the peers live: their addresses end in .2 and .3. */
  readonly network: string;
  /** Even; the peers take the ports from there on. */
  readonly peerPort: number;
  /** Thirty ports for the engine. */
  readonly rtpPorts: readonly [number, number];
  /** What this engine cannot do by its nature, each with the reason, which the output of the suite shows. */
  readonly cannot?: {
    /** Refuse and count the packets of others than the peer. */
    readonly turnStrangersAway?: string;
    /** End a recording on the frame: how far off it may be instead. */
    readonly recordToTheFrame?: { readonly why: string; readonly withinMs: number };
  };
}

interface Call {
  readonly peer: RtpPeer;
  readonly endpoint: MediaEndpoint;
  readonly events: EventLog;
  readonly answer: Buffer;
}

/** Packets over which their pace is taken. */
const PACE = 20;

const wavFile = (pcm: Int16Array, sampleRate: number): Buffer =>
  Buffer.concat([
    wavHeader({ encoding: 'pcm16', channels: 1, sampleRate }, pcm.byteLength),
    Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength),
  ]);

/** The behaviour that every media engine has, seen from the application and from the wire. */
export function mediaContract(name: string, options: ContractOptions): void {
  t.test(name, async (t) => {
    const port = options.makePort(options.rtpPorts);
    await port.start();
    const folder = await mkdtemp(join(tmpdir(), 'media-'));
    t.teardown(async () => {
      await port.stop();
      await rm(folder, { recursive: true });
    });
    let nextPort = options.peerPort;
    const newPeer = async (t: Test, host = 2): Promise<RtpPeer> => {
      const peer = await RtpPeer.bind(`${options.network}.${host}`, nextPort);
      nextPort += 2;
      t.teardown(() => peer.close());
      return peer;
    };
    const call = async (
      t: Test,
      spec: Partial<EndpointSpec> = {},
      configure: (peer: RtpPeer) => void = () => {},
    ): Promise<Call> => {
      const peer = await newPeer(t);
      configure(peer);
      const events = new EventLog();
      const opened = await port.open({ callId: peer.address, leg: 'a', offer: peer.sdp(), ...spec }, events);
      if (!opened.ok) throw new Error(opened.problem.message);
      peer.pointAt(opened.sdp);
      t.teardown(() => opened.endpoint.close());
      return { peer, endpoint: opened.endpoint, events, answer: opened.sdp };
    };
    const cases = { folder, port, newPeer, call, network: options.network, cannot: options.cannot ?? {} };
    hearing(t, cases);
    speaking(t, cases);
    keys(t, cases);
    renegotiating(t, cases);
    bridging(t, cases);
    ending(t, cases);
    await t.test('when all ports are taken a call is refused, and others go on', async (t) => {
      const small = options.makePort([options.rtpPorts[1] + 1, options.rtpPorts[1] + 4]);
      await small.start();
      t.teardown(() => small.stop());
      const open = () => small.open({ callId: 'x', leg: 'a' }, new EventLog());
      const first = await open();
      const second = await open();
      const third = await open();
      t.ok(first.ok && second.ok);
      t.match(third, { ok: false, problem: { code: 'no_port_free', sipStatus: 503 } });
    });
  });
}

interface Cases {
  readonly network: string;
  readonly cannot: NonNullable<ContractOptions['cannot']>;
  readonly folder: string;
  readonly port: MediaPort;
  newPeer(t: Test, host?: number): Promise<RtpPeer>;
  call(t: Test, spec?: Partial<EndpointSpec>, configure?: (peer: RtpPeer) => void): Promise<Call>;
}

function hearing(t: Test, { folder, call, network, cannot }: Cases): void {
  t.test('what the peer says is in the recording', async (t) => {
    const { peer, endpoint, events } = await call(t);
    const path = join(folder, 'mono.wav');
    const recordId = endpoint.record({ path, channels: 'mono' });
    await peer.say(sine(440, 8000));
    endpoint.stopRecord(recordId);
    const ended = await events.next('recordEnded');
    t.match(ended, { id: recordId, end: 'stopped' });
    const wav = parseWav(await readFile(path));
    if (!wav.ok) return t.fail(wav.error);
    t.equal(wav.value.sampleRate, 8000);
    t.ok(Math.abs(wav.value.durationMs - ended.durationMs) < 1, 'as long as it says');
    const pcm = wavSamples(wav.value);
    t.ok(usualAmplitude(pcm.subarray(1600, 6400), 440) > 6000, 'the tone is there');
    t.ok(usualAmplitude(pcm.subarray(1600, 6400), 600) < 200, 'and nothing else');
  });

  t.test('a stereo recording has the peer left and what it hears right, and ends by length', async (t) => {
    const { peer, endpoint, events } = await call(t);
    const path = join(folder, 'stereo.wav');
    endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [600], durationMs: 5000 }] });
    await peer.next(2);
    endpoint.record({ path, channels: 'stereo', maxMs: 600 });
    await peer.say(sine(440, 8000));
    const ended = await events.next('recordEnded');
    t.equal(ended.end, 'max_duration');
    const { why, withinMs } = cannot.recordToTheFrame ?? { why: '', withinMs: 0 };
    if (why !== '') t.comment(`within ${withinMs} ms: ${why}`);
    t.ok(Math.abs(ended.durationMs - 600) <= withinMs, `${ended.durationMs} ms`);
    const wav = parseWav(await readFile(path));
    if (!wav.ok) return t.fail(wav.error);
    t.equal(wav.value.channels, 2);
    const samples = new Int16Array(
      wav.value.data.buffer.slice(wav.value.data.byteOffset, wav.value.data.byteOffset + wav.value.data.length),
    );
    const left = samples.filter((_, i) => i % 2 === 0).subarray(1600);
    const right = samples.filter((_, i) => i % 2 === 1).subarray(1600);
    const clear = (channel: Int16Array, own: number, other: number): void => {
      const [heard, foreign] = [usualAmplitude(channel, own), usualAmplitude(channel, other)];
      t.ok(heard > 6000 && foreign < heard / 15, `${own} Hz ${heard.toFixed(0)}, ${other} Hz ${foreign.toFixed(0)}`);
    };
    clear(left, 440, 600);
    clear(right, 600, 440);
  });

  t.test('a recording ends when the peer is silent', async (t) => {
    const { peer, endpoint, events } = await call(t);
    endpoint.record({ path: join(folder, 'silent.wav'), channels: 'mono', silenceMs: 300 });
    await peer.say(sine(440, 4000));
    t.match(await events.next('recordEnded'), { end: 'silence' });
  });

  t.test('a recording that cannot be written fails', async (t) => {
    const { endpoint, events } = await call(t);
    endpoint.record({ path: join(folder, 'no such folder', 'x.wav'), channels: 'mono' });
    t.match(await events.next('recordEnded'), { end: 'failed' });
  });

  const skip = cannot.turnStrangersAway ?? false;
  t.test('packets of strangers are neither heard nor answered (S14)', { skip }, async (t) => {
    const { peer, endpoint } = await call(t);
    const stranger = await RtpPeer.bind(`${network}.9`, peer.port);
    t.teardown(() => stranger.close());
    stranger.pointAt(Buffer.from(`c=IN IP4 ${peer.target.address}\r\nm=audio ${peer.target.port} RTP/AVP 0\r\n`));
    const path = join(folder, 'strangers.wav');
    endpoint.record({ path, channels: 'mono', maxMs: 400 });
    await stranger.say(sine(440, 4800));
    const quality = await endpoint.quality();
    t.equal(quality.packetsReceived, 0);
    t.ok(quality.packetsRejected >= 25);
    t.equal(stranger.heard.length, 0);
    const wav = parseWav(await readFile(path));
    if (wav.ok) t.ok(wavSamples(wav.value).every((sample) => sample === 0));
    else t.fail(wav.error);
  });

  t.test('behind NAT the first steady source is learned, once', async (t) => {
    const { peer, endpoint } = await call(t, { nat: true });
    const real = await RtpPeer.bind(`${network}.8`, peer.port);
    const late = await RtpPeer.bind(`${network}.9`, peer.port);
    t.teardown(() => Promise.all([real.close(), late.close()]));
    for (const one of [real, late])
      one.pointAt(Buffer.from(`c=IN IP4 ${peer.target.address}\r\nm=audio ${peer.target.port} RTP/AVP 0\r\n`));
    endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 60_000 }] });
    await real.say(sine(440, 1600));
    await real.next(5);
    late.ssrc = 99;
    await late.say(sine(440, 1600));
    t.equal(late.heard.length, 0);
    const before = peer.heard.length;
    await real.next(5);
    t.equal(peer.heard.length, before, 'nothing goes to the address of the SDP any more');
  });
}

function speaking(t: Test, { folder, call }: Cases): void {
  t.test('a file is heard at 50 packets a second, numbered and timed without a gap', async (t) => {
    const { peer, endpoint, events } = await call(t);
    const path = join(folder, 'tone16k.wav');
    const high = Int16Array.from({ length: 32_000 }, (_, i) =>
      Math.round(Math.sin((2 * Math.PI * 440 * i) / 16_000) * 10_000),
    );
    await writeFile(path, wavFile(high, 16_000));
    await peer.next(3);
    const playId = endpoint.play({ sources: [{ kind: 'file', path }] });
    const from = peer.heard.length;
    t.match(await events.next('playEnded'), { id: playId, end: 'finished' });
    await peer.next(3);
    const packets = peer.heard.slice(from);
    for (const [i, packet] of packets.entries()) {
      if (i === 0) continue;
      const before = packets[i - 1] as (typeof packets)[0];
      if (((before.sequence + 1) & 0xffff) !== packet.sequence) t.fail('sequence number out of step');
      if ((before.timestamp + 160) >>> 0 !== packet.timestamp) t.fail('timestamp out of step');
    }
    // The middle one of many: where the machine was busy they come late, and then fast.
    const rates = packets.slice(PACE).map(({ atMs }, i) => (PACE * 1000) / (atMs - (packets[i]?.atMs ?? 0)));
    const perSecond = rates.sort((a, b) => a - b)[rates.length >> 1] ?? 0;
    t.ok(Math.abs(perSecond - 50) < 2, `${perSecond.toFixed(1)} packets a second`);
    t.equal(new Set(packets.map((packet) => packet.ssrc)).size, 1);
    const pcm = peer.audio(from);
    const start = pcm.findIndex((sample) => Math.abs(sample) > 500);
    t.ok(amplitudeAt(pcm.subarray(start + 800, start + 14_000), 440) > 6000);
    const loud = pcm.filter((sample) => Math.abs(sample) > 500).length / 16_000;
    t.ok(loud > 0.9 && loud < 1, 'all of it, once');
  });

  t.test('what is played can be stopped and replaced, and each play ends once', async (t) => {
    const { peer, endpoint, events } = await call(t);
    const first = endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 1000 }], repeat: 0 });
    await peer.next(5);
    const second = endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [900], durationMs: 1000 }], repeat: 0 });
    t.match(await events.next('playEnded'), { id: first, end: 'stopped' });
    await peer.next(5);
    const from = peer.heard.length;
    await peer.next(20);
    t.ok(amplitudeAt(peer.audio(from), 900) > 6000);
    t.ok(amplitudeAt(peer.audio(from), 440) < 600);
    endpoint.stopPlay(second);
    endpoint.stopPlay(second);
    t.match(await events.next('playEnded'), { id: second, end: 'stopped' });
    const third = endpoint.play({
      sources: [
        { kind: 'tone', frequenciesHz: [440], durationMs: 50 },
        { kind: 'silence', durationMs: 30 },
      ],
      repeat: 3,
    });
    t.match(await events.next('playEnded'), { id: third, end: 'finished' });
    t.equal(events.count('playEnded'), 3);
  });

  t.test('audio in memory is heard; a missing file and what is no WAV fail and say why', async (t) => {
    const { peer, endpoint, events } = await call(t);
    endpoint.play({ sources: [{ kind: 'audio', wav: wavFile(sine(440, 1600), 8000) }] });
    t.match(await events.next('playEnded'), { end: 'finished' });
    await peer.next(2);
    t.ok(
      amplitudeAt(
        peer.audio().filter((sample) => Math.abs(sample) > 100),
        440,
      ) > 1000,
    );
    endpoint.play({ sources: [{ kind: 'file', path: join(folder, 'absent.wav') }] });
    t.match(await events.next('playEnded'), { end: 'failed', detail: /ENOENT|no such file/i });
    endpoint.play({ sources: [{ kind: 'audio', wav: Buffer.from('no sound') }] });
    t.match(await events.next('playEnded'), { end: 'failed', detail: /not_wav|WAV/i });
    endpoint.play({ sources: [] });
    t.match(await events.next('playEnded'), { end: 'finished' });
  });
}

function keys(t: Test, { call }: Cases): void {
  t.test('each key that the peer presses is told once', async (t) => {
    const { peer, events } = await call(t, {}, (peer) => {
      peer.eventsType = 97;
    });
    await peer.say(sine(300, 800));
    for (const event of [1, 5, 5, 11]) await peer.press(event);
    await events.next('dtmf');
    t.equal(events.digits, '155#');
    t.match(events.told[0], { by: 'rfc4733', durationMs: 80 });
  });

  t.test('keys as tones are found where the peer has no other way', async (t) => {
    const { peer, events, answer } = await call(t, {}, (peer) => {
      peer.eventsType = undefined;
    });
    t.notMatch(answer.toString(), /telephone-event/);
    const low = sine(770, 1600, 0, 6000);
    const high = sine(1336, 1600, 0, 6000);
    await peer.say(low.map((sample, i) => sample + (high[i] as number)));
    await peer.say(new Int16Array(1600));
    t.match(await events.next('dtmf'), { digit: '5', by: 'inband' });
    t.equal(events.count('dtmf'), 1);
  });

  t.test('keys that we press come as events of the type that the peer named', async (t) => {
    const { peer, endpoint } = await call(t, {}, (peer) => {
      peer.eventsType = 97;
    });
    endpoint.sendDtmf('1#');
    const ends = () => peer.heard.filter((packet) => packet.payloadType === 97 && (packet.payload[1] ?? 0) >= 0x80);
    await peer.until(() => ends().length >= 6);
    t.same([...new Set(ends().map((packet) => packet.payload[0]))], [1, 11]);
  });
}

function renegotiating(t: Test, { call, port, newPeer }: Cases): void {
  t.test('on hold nothing is sent; after it the stream goes on', async (t) => {
    const { peer, endpoint, answer } = await call(t);
    await peer.next(5);
    const held = await endpoint.answerOffer(peer.sdp(['a=inactive'], 2));
    t.ok(held.ok && /a=inactive/.test(held.sdp.toString()));
    const version = (sdp: Buffer) => Number(/^o=\S+ \d+ (\d+)/m.exec(sdp.toString())?.[1]);
    t.equal(held.ok && version(held.sdp), version(answer) + 1);
    // What the system has already is on its way to us, however long we were kept from reading it.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    const from = peer.heard.length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    t.ok(peer.heard.length - from <= 1, 'silence on the wire');
    const last = peer.heard.at(-1);
    const before = peer.heard.length;
    const resumed = await endpoint.answerOffer(peer.sdp(['a=sendrecv'], 3));
    t.ok(resumed.ok && /a=sendrecv/.test(resumed.sdp.toString()));
    // They may come before the answer of the engine does.
    await peer.until(() => peer.heard.length > before);
    const first = peer.heard[before];
    t.equal(first?.ssrc, last?.ssrc);
    t.equal(first?.sequence, ((last?.sequence ?? 0) + 1) & 0xffff);
    t.equal(first?.marker, true);
    t.ok(((first?.timestamp ?? 0) - (last?.timestamp ?? 0)) >>> 0 >= 1600, 'the pause is in the timestamps');
  });

  t.test('an offer of ours is taken up by the answer', async (t) => {
    const peer = await newPeer(t);
    peer.law = 'PCMA';
    const opened = await port.open({ callId: 'offer', leg: 'b' }, new EventLog());
    if (!opened.ok) return t.fail(opened.problem.message);
    t.teardown(() => opened.endpoint.close());
    t.match(opened.sdp.toString(), /^m=audio \d+ RTP\/AVP 0 8 101\r$/m);
    peer.pointAt(opened.sdp);
    const accepted = await opened.endpoint.acceptAnswer(peer.sdp());
    t.ok(accepted.ok);
    const [first] = await peer.next(1);
    t.equal(first?.payloadType, 8);
  });

  t.test('an answer that came early may be followed by another one', async (t) => {
    const [early, late] = [await newPeer(t), await newPeer(t, 3)];
    const opened = await port.open({ callId: 'early', leg: 'b' }, new EventLog());
    if (!opened.ok) return t.fail(opened.problem.message);
    t.teardown(() => opened.endpoint.close());
    t.ok((await opened.endpoint.acceptAnswer(early.sdp())).ok);
    await early.next(3);
    late.law = 'PCMA';
    t.ok((await opened.endpoint.acceptAnswer(late.sdp())).ok);
    const [first] = await late.next(3);
    t.equal(first?.payloadType, 8);
    late.pointAt(opened.sdp);
    await late.say(sine(440, 1600));
    t.ok((await opened.endpoint.quality()).packetsReceived >= 9, 'and is heard');
  });

  t.test('what cannot be served is refused by name', async (t) => {
    const open = (offer: string | Buffer) =>
      port.open({ callId: 'bad', leg: 'a', offer: Buffer.from(offer) }, new EventLog());
    const peer = await newPeer(t);
    const sdp = peer.sdp().toString();
    t.match(await open('nonsense'), { ok: false, problem: { code: 'sdp_invalid', sipStatus: 400 } });
    const g729 = sdp
      .replace(/m=audio (\d+) RTP\/AVP .*/, 'm=audio $1 RTP/AVP 18')
      .replace(/a=rtpmap:0.*/, 'a=rtpmap:18 G729/8000');
    t.match(await open(g729), { ok: false, problem: { code: 'no_common_codec', sipStatus: 488 } });
    const savp = sdp.replace('RTP/AVP', 'RTP/SAVP');
    t.match(await open(savp), { ok: false, problem: { code: 'srtp_not_supported', sipStatus: 488 } });
    const mandatory = await port.open(
      { callId: 'bad', leg: 'a', offer: peer.sdp(), srtp: 'mandatory' },
      new EventLog(),
    );
    t.match(mandatory, { ok: false, problem: { code: 'srtp_required', sipStatus: 488 } });
  });
}

function bridging(t: Test, { folder, call, port, newPeer }: Cases): void {
  t.test('two bridged calls hear each other through different laws, and pass keys on', async (t) => {
    const a = await call(t);
    const b = await call(t, {}, (peer) => {
      peer.law = 'PCMA';
      peer.eventsType = 96;
    });
    a.endpoint.bridge(b.endpoint);
    await Promise.all([a.peer.say(sine(440, 8000)), b.peer.say(sine(900, 8000))]);
    const tail = (peer: RtpPeer) => peer.audio().subarray(-6400, -1600);
    t.ok(usualAmplitude(tail(b.peer), 440) > 6000 && usualAmplitude(tail(b.peer), 900) < 300);
    t.ok(usualAmplitude(tail(a.peer), 900) > 6000 && usualAmplitude(tail(a.peer), 440) < 300);
    t.ok(b.peer.heard.every((packet) => packet.payloadType === 8));
    await a.peer.press(7);
    await b.peer.until(() => b.peer.heard.some((packet) => packet.payloadType === 96 && packet.payload[0] === 7));
    t.match(await a.events.next('dtmf'), { digit: '7' });
    t.equal(b.events.count('dtmf'), 0);
    const path = join(folder, 'bridged.wav');
    a.endpoint.record({ path, channels: 'stereo', maxMs: 500 });
    await Promise.all([a.peer.say(sine(440, 5600)), b.peer.say(sine(900, 5600))]);
    await a.events.next('recordEnded');
    const wav = parseWav(await readFile(path));
    if (!wav.ok) return t.fail(wav.error);
    t.ok(usualAmplitude(wavSamples(wav.value).subarray(1600), 440) > 4000, 'both sides are in the recording');
    t.ok(usualAmplitude(wavSamples(wav.value).subarray(1600), 900) > 4000);
    a.endpoint.unbridge();
    await a.peer.next(10);
    const from = a.peer.heard.length;
    await b.peer.say(sine(900, 3200));
    t.ok(greatestAmplitude(a.peer.audio(from), 900) < 50, 'apart again');
  });

  t.test('the bridge goes with either end', async (t) => {
    const a = await call(t);
    const peer = await newPeer(t, 3);
    const opened = await port.open({ callId: 'other', leg: 'b', offer: peer.sdp() }, new EventLog());
    if (!opened.ok) return t.fail(opened.problem.message);
    a.endpoint.bridge(opened.endpoint);
    await opened.endpoint.close();
    await a.peer.say(sine(440, 1600));
    t.ok((await a.peer.next(2)).length === 2, 'the one that stays is served');
  });
}

function ending(t: Test, { folder, call, port }: Cases): void {
  t.test('a peer that falls silent is reported once, and again after it has spoken', async (t) => {
    const { peer, events } = await call(t, { mediaTimeoutMs: 200 });
    await events.next('mediaTimeout');
    await peer.say(sine(440, 1600));
    await events.next('mediaTimeout');
    t.equal(events.count('mediaTimeout'), 2);
  });

  t.test('closing ends everything once, tells what the audio was like, and is the last word', async (t) => {
    const { peer, endpoint, events } = await call(t);
    const playId = endpoint.play({ sources: [{ kind: 'tone', frequenciesHz: [440], durationMs: 1000 }], repeat: 0 });
    const recordId = endpoint.record({ path: join(folder, 'closed.wav'), channels: 'mono' });
    await peer.say(sine(440, 8000));
    const quality = await endpoint.close();
    t.match(events.told, [
      { on: 'playEnded', id: playId, end: 'stopped' },
      { on: 'recordEnded', id: recordId, end: 'stopped' },
    ]);
    t.equal(quality.packetsReceived, 50);
    t.equal(quality.packetsLost, 0);
    t.equal(quality.codec, 'PCMU');
    await peer.until(() => peer.heard.length >= quality.packetsSent);
    t.ok(quality.packetsSent >= 0.9 * peer.heard.length, `${quality.packetsSent} sent, ${peer.heard.length} heard`);
    t.ok(quality.mos > 4);
    const told = events.told.length;
    endpoint.play({ sources: [{ kind: 'silence', durationMs: 1 }] });
    endpoint.sendDtmf('1');
    t.match(await endpoint.answerOffer(peer.sdp()), { ok: false });
    t.match(await endpoint.close(), { codec: 'PCMU' });
    t.equal(events.told.length, told);
    const dump = (await port.dump()) as { endpoints: number };
    t.equal(dump.endpoints, 0);
    const heir = await RtpPeer.bind(peer.target.address, peer.target.port);
    await heir.close();
    t.pass('the ports are free');
  });
}
