/**
 * S14: others send audio to the ports of a call, before and after its peer is known, and know its numbers. Nothing of it
 * may be relayed or recorded, and no call may end for it. Real sockets, real workers; what counts is what is heard.
 */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { encodeMulaw } from '../../src/media/codec/g711.js';
import { parseWav, wavSamples } from '../../src/media/codec/wav.js';
import { EmbeddedMedia, type EndpointSpec, type MediaEndpoint, spawnThread } from '../../src/media/index.js';
import { writeRtp } from '../../src/media/rtp/packet.js';
import { writeRtcp } from '../../src/media/rtp/rtcp.js';
import { SrtpContext, newCrypto, parseCrypto, printCrypto } from '../../src/media/rtp/srtp.js';
import { EventLog } from '../contract/media/events.js';
import { RtpPeer, greatestAmplitude, sine, usualAmplitude } from '../contract/media/peer.js';

const NET = '127.0.63';
const SPRAYED = 10_000;
/** Packets of the peer, 20 ms each, among which the forged ones come. */
const SPOKEN = 120;
/** What the peer says, and what others say. */
const VOICE_HZ = 440;
const FOREIGN_HZ = 1200;
const FOREIGN_AMPLITUDE = 16_000;
/** What one frame of it would give. A gap in the voice gives a few hundred. */
const ONE_FRAME = (FOREIGN_AMPLITUDE * 2) / 5;
/** Datagrams that a socket's buffer holds in any case: more wait until the engine has seen some. */
const MOST_ON_THEIR_WAY = 150;
const entry = new URL('../../src/cli/mediaWorker.js', import.meta.url);

const foreign = new Uint8Array(160);
encodeMulaw(sine(FOREIGN_HZ, 160, 0, FOREIGN_AMPLITUDE), foreign);

/** One datagram of an attacker, who has seen everything: it numbers its packets as the peer does. */
const forged = (ssrc: number, sequence: number, payloadType = 0): Buffer => {
  const packet = Buffer.alloc(172);
  const timestamp = (0xffff_f000 + sequence * 160) >>> 0;
  writeRtp(packet, { payloadType, marker: false, sequence: sequence & 0xffff, timestamp, ssrc }, foreign);
  return packet;
};

/** RFC 3550 §6.6: the peer is said to have left. */
const forgedBye = (ssrc: number): Buffer => {
  const packet = Buffer.alloc(256);
  const length = writeRtcp(packet, { ssrc, cname: 'peer', sender: undefined, reports: [], bye: true });
  return packet.subarray(0, length);
};

interface Target {
  readonly address: string;
  readonly port: number;
}

/** Strangers on other addresses, and on other ports of the peer's own. */
class Crowd {
  readonly #sockets: Socket[] = [];

  static async gather(places: readonly (readonly [address: string, port: number])[]): Promise<Crowd> {
    const crowd = new Crowd();
    for (const [address, port] of places) {
      const socket = createSocket('udp4');
      socket.bind(port, address);
      await once(socket, 'listening');
      crowd.#sockets.push(socket);
    }
    return crowd;
  }

  /** Sends until the engine has refused `SPRAYED` more packets: the system may lose some of a flood. */
  async spray(endpoint: MediaEndpoint, target: Target, ssrc: number): Promise<void> {
    const until = (await endpoint.quality()).packetsRejected + SPRAYED;
    let sequence = 65_400;
    let refused = until - SPRAYED;
    for (let round = 0; round < 1000; round++) {
      for (const socket of this.#sockets) {
        for (let i = 0; i < 8; i++) socket.send(forged(ssrc, sequence++), target.port, target.address);
        socket.send(forged(ssrc ^ round, round, 8), target.port, target.address);
        socket.send(forged(ssrc, round, 101), target.port, target.address);
        socket.send(forgedBye(ssrc), target.port + 1, target.address);
        socket.send(forgedBye(ssrc), target.port, target.address);
      }
      await new Promise((resolve) => setImmediate(resolve));
      // Not faster than it is refused: what the system drops is nobody's in particular.
      const before = refused;
      for (let tries = 0; tries < 20 && refused === before; tries++) {
        refused = (await endpoint.quality()).packetsRejected;
      }
      if (refused >= until) return;
    }
    throw new Error('the spray did not arrive');
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }
}

interface Rig {
  readonly media: EmbeddedMedia;
  readonly folder: string;
}

const rig = async (t: Test, rtpPorts: readonly [number, number]): Promise<Rig> => {
  const media = new EmbeddedMedia(
    { workers: 1, address: `${NET}.1`, rtpPorts },
    { clock: new SystemClock(), random: new SystemRandom(), spawn: spawnThread(entry) },
  );
  await media.start();
  const folder = await mkdtemp(join(tmpdir(), 'spray-'));
  t.teardown(async () => {
    await media.stop();
    await rm(folder, { recursive: true });
  });
  return { media, folder };
};

const opened = async (media: EmbeddedMedia, spec: EndpointSpec) => {
  const events = new EventLog();
  const result = await media.open(spec, events);
  if (!result.ok) throw new Error(result.problem.message);
  return { endpoint: result.endpoint, sdp: result.sdp, events };
};

const crowdPlaces = (peer: RtpPeer): (readonly [string, number])[] => [
  ...Array.from({ length: 8 }, (_, i) => [`${NET}.${100 + i}`, 29_700 + i] as const),
  [`${NET}.110`, peer.port],
  [peer.address, peer.port + 400],
];

/** The voice is there, and nothing foreign is. */
const heardOnly = (t: Test, pcm: Int16Array, where: string): void => {
  const foreignest = greatestAmplitude(pcm, FOREIGN_HZ);
  t.ok(foreignest < ONE_FRAME / 4, `${where}: nothing foreign (${foreignest.toFixed(0)})`);
};

const wavOf = async (path: string): Promise<Int16Array> => {
  const wav = parseWav(await readFile(path));
  if (!wav.ok) throw new Error(wav.error);
  return wavSamples(wav.value);
};

/** A call that is sprayed before its peer says anything, and while it speaks. */
const sprayed = async (t: Test, options: { ports: number; spec: Partial<EndpointSpec>; sdpAddress?: string }) => {
  const { media, folder } = await rig(t, [options.ports, options.ports + 19]);
  const peer = await RtpPeer.bind(`${NET}.2`, options.ports + 40);
  const callee = await RtpPeer.bind(`${NET}.3`, options.ports + 42);
  // The peer's own address is expected; its other ports are not where the peer is.
  const places = crowdPlaces(peer).filter(([address]) => options.sdpAddress === undefined || address !== peer.address);
  const crowd = await Crowd.gather(places);
  t.teardown(() => Promise.all([peer.close(), callee.close(), crowd.close()]));
  const offer = Buffer.from(
    peer
      .sdp()
      .toString()
      .replaceAll(peer.address, options.sdpAddress ?? peer.address),
  );
  const a = await opened(media, { callId: 'call', leg: 'a', offer, ...options.spec });
  const b = await opened(media, { callId: 'call', leg: 'b', offer: callee.sdp() });
  peer.pointAt(a.sdp);
  callee.pointAt(b.sdp);
  const path = join(folder, 'call.wav');
  const recordId = a.endpoint.record({ path, channels: 'stereo' });
  a.endpoint.bridge(b.endpoint);

  await crowd.spray(a.endpoint, peer.target, peer.ssrc);
  heardOnly(t, callee.audio(), 'before the peer spoke, at the other end');
  t.match(await a.endpoint.quality(), { packetsReceived: 0 });

  const from = callee.heard.length;
  const voice = peer.say(sine(VOICE_HZ, 12_000));
  await crowd.spray(a.endpoint, peer.target, peer.ssrc);
  await voice;
  const heard = callee.audio(from);
  t.ok(usualAmplitude(heard.subarray(2400, 10_400), VOICE_HZ) > 4000, 'the peer is heard all the same');
  heardOnly(t, heard, 'while the peer spoke');
  t.ok(peer.heard.length > 0, 'and hears us');
  const quality = await a.endpoint.quality();
  // A flood may fill the system's buffer, and behind NAT the first two packets are the proof of the third.
  t.ok(quality.packetsReceived > 60 && quality.packetsReceived <= 75, `${quality.packetsReceived} packets of 75`);

  a.endpoint.stopRecord(recordId);
  await a.events.next('recordEnded');
  heardOnly(t, await wavOf(path), 'in the recording');
  t.same([a.events.count('failed'), a.events.count('mediaTimeout'), a.events.digits], [0, 0, '']);
  t.same([b.events.count('failed'), b.events.count('mediaTimeout')], [0, 0]);
  t.match(await a.endpoint.answerOffer(offer), { ok: true }, 'the call is up');
};

t.test('a peer that is where its SDP says', async (t) => {
  await sprayed(t, { ports: 29_000, spec: { mediaTimeoutMs: 60_000 } });
});

t.test('a peer behind NAT: its source is learned among ten thousand others', async (t) => {
  const spec = { nat: true, peerAddresses: [`${NET}.2`], mediaTimeoutMs: 60_000 };
  await sprayed(t, { ports: 29_100, spec, sdpAddress: `${NET}.240` });
});

t.test('SRTP: wrong tags and repeated packets are dropped, and end nothing', async (t) => {
  const { media, folder } = await rig(t, [29_200, 29_219]);
  const [rtp, rtcp] = [createSocket('udp4'), createSocket('udp4')];
  rtp.bind(29_240, `${NET}.4`);
  rtcp.bind(29_241, `${NET}.4`);
  await Promise.all([once(rtp, 'listening'), once(rtcp, 'listening')]);
  t.teardown(() => {
    rtp.close();
    rtcp.close();
  });
  const key = newCrypto(1, 'AES_CM_128_HMAC_SHA1_80', new SystemRandom());
  const offer = Buffer.from(
    ['v=0', `o=- 1 1 IN IP4 ${NET}.4`, 's=-', `c=IN IP4 ${NET}.4`, 't=0 0', 'm=audio 29240 RTP/SAVP 0']
      .concat([`a=crypto:${printCrypto(key)}`, ''])
      .join('\r\n'),
  );
  const a = await opened(media, { callId: 'srtp', leg: 'a', offer, srtp: 'mandatory', mediaTimeoutMs: 60_000 });
  const port = Number(/^m=audio (\d+)/m.exec(a.sdp.toString())?.[1]);
  t.ok(parseCrypto(/^a=crypto:(.*)\r$/m.exec(a.sdp.toString())?.[1] ?? ''), 'keyed');
  const path = join(folder, 'srtp.wav');
  const recordId = a.endpoint.record({ path, channels: 'mono' });
  const mine = new SrtpContext(key);
  const strangers = new SrtpContext(newCrypto(1, 'AES_CM_128_HMAC_SHA1_80', new SystemRandom()));
  const seal = (context: SrtpContext, payload: Uint8Array, sequence: number): Buffer => {
    const packet = Buffer.alloc(200);
    const header = { payloadType: 0, marker: false, sequence, timestamp: sequence * 160, ssrc: 99 };
    return packet.subarray(0, context.protectRtp(packet, writeRtp(packet, header, payload)));
  };
  const startMs = performance.now();
  let bad = 0;
  let seen = 0;
  const look = (): Promise<unknown> =>
    a.endpoint.quality().then((now) => (seen = now.packetsRejected + now.packetsReceived));
  for (let sequence = 1; sequence <= SPOKEN; sequence++) {
    const voice = new Uint8Array(160);
    encodeMulaw(sine(VOICE_HZ, 160, sequence * 160), voice);
    const good = seal(mine, voice, sequence);
    rtp.send(good, port, `${NET}.1`);
    for (let i = 0; i < 85; i++, bad++) {
      const wrong = i % 3 === 0 ? seal(strangers, foreign, sequence + 1) : Buffer.from(good);
      // A changed octet, an other key, the same again.
      if (i % 3 === 1) wrong[20 + (i % 100)] = (wrong[20 + (i % 100)] ?? 0) ^ 0x40;
      rtp.send(wrong, port, `${NET}.1`);
      if (i % 10 === 0) rtcp.send(forgedBye(99), port + 1, `${NET}.1`);
    }
    for (let tries = 0; tries < 20 && bad + sequence - seen > MOST_ON_THEIR_WAY; tries++) await look();
    const waitMs = startMs + sequence * 20 - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs)));
  }
  t.ok(bad > SPRAYED);
  a.endpoint.stopRecord(recordId);
  await a.events.next('recordEnded');
  const quality = await a.endpoint.quality();
  t.ok(quality.packetsRejected > SPRAYED / 2, `${quality.packetsRejected} refused`);
  t.ok(
    quality.packetsReceived <= SPOKEN && quality.packetsReceived > 0.8 * SPOKEN,
    `${quality.packetsReceived} taken of the ${SPOKEN} that were the peer's`,
  );
  const pcm = await wavOf(path);
  heardOnly(t, pcm, 'in the recording');
  t.ok(usualAmplitude(pcm.subarray(2400, 16_000), VOICE_HZ) > 5000, 'the voice is');
  t.same([a.events.count('failed'), a.events.count('mediaTimeout')], [0, 0]);
  t.match(await a.endpoint.answerOffer(offer), { ok: true }, 'the call is up');
});
