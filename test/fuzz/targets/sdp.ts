/** Session descriptions: what any offer or answer leads to. */
import { SeededRandom } from '../../../src/kernel/index.js';
import { type SrtpSuite, newCrypto, parseCrypto, printCrypto } from '../../../src/media/rtp/srtp.js';
import { parseSdp } from '../../../src/media/sdp/parse.js';
import { SdpSession } from '../../../src/media/sdp/session.js';
import { type Target, expect, show } from '../target.js';

const KEY = 'd0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj';
const sdp = (...lines: string[]): Buffer =>
  Buffer.from(['v=0', 'o=- 1 1 IN IP4 192.0.2.9', 's=-', 'c=IN IP4 192.0.2.9', 't=0 0', ...lines, ''].join('\r\n'));

const SEEDS = [
  sdp(
    'm=audio 4000 RTP/AVP 0 8 101',
    'a=rtpmap:101 telephone-event/8000',
    'a=fmtp:101 0-16',
    'a=ptime:20',
    'a=sendrecv',
  ),
  sdp('m=audio 4000 RTP/AVP 96 97', 'a=rtpmap:96 opus/48000/2', 'a=rtpmap:97 L16/16000', 'a=maxptime:30', 'a=sendonly'),
  sdp(
    'm=audio 4000 RTP/SAVP 8',
    `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}|2^20|1:4`,
    'a=rtcp:4001 IN IP4 192.0.2.9',
  ),
  sdp('m=video 5000 RTP/AVP 31', 'm=audio 0 RTP/AVP 0', 'm=audio 4000 RTP/AVP 8', 'c=IN IP4 192.0.2.8', 'a=inactive'),
  sdp(
    'm=audio 4000 UDP/TLS/RTP/SAVPF 111 0',
    'a=fingerprint:sha-256 AA:BB',
    'a=setup:actpass',
    'a=rtcp-mux',
    'a=mid:0',
  ),
  sdp('b=AS:84', 'a=x-unknown:kept', 'm=audio 4000/2 RTP/AVP 0', 'i=title', 'm=image 1 udptl t38'),
];

const WORDS = [
  ...[
    'm=audio 4000 RTP/AVP 0',
    'm=audio 0 RTP/AVP 0',
    'm=video 1 RTP/AVP 31',
    'm=',
    'm=audio',
    'c=IN IP4 0.0.0.0',
    'c=IN IP6 ::1',
  ],
  ...[
    'c=IN IP4 224.0.0.1/127',
    'a=rtpmap:0 PCMU/8000',
    'a=rtpmap:101 telephone-event/48000',
    'a=rtpmap:',
    'a=fmtp:101 0-16,66',
  ],
  ...[
    'a=ptime:0',
    'a=ptime:1000',
    'a=sendonly',
    'a=recvonly',
    'a=inactive',
    'a=crypto:',
    `inline:${KEY}`,
    '|2^31',
    '\r\n',
    '\n',
    '\0',
  ],
  ...['RTP/SAVP', 'RTP/AVPF', '\u00ff', 'PCMA', 'opus/48000/2', '/', ' ', '  ', ':', '=', '128', '-1'],
];

const newSession = (srtp: 'off' | 'optional' | 'mandatory'): SdpSession => {
  const random = new SeededRandom(1);
  return new SdpSession(
    {
      ...{ address: '192.0.2.1', port: 20_000, codecs: undefined, dtmfPayloadType: 101, ptimeMs: undefined, srtp },
      keyFor: (tag: number, suite: SrtpSuite) => newCrypto(tag, suite, random),
    },
    '4711',
  );
};

/** What we say must be understood by ourselves and hold no line that is none. */
const expectGood = (said: Buffer, offered: Buffer): void => {
  const parsed = parseSdp(said);
  expect(parsed.ok, 'own-sdp-invalid', () => `${show(offered)} -> ${show(said)}`);
  const lines = said.toString('latin1').split('\r\n');
  expect(lines.pop() === '' && lines.every((line) => /^[a-z]=[^\r\n\0]+$/.test(line)), 'sdp-line', () => show(said));
};

export const sdpTarget: Target = {
  name: 'sdp',
  kind: 'lines',
  covers: ['/src/media/sdp/', '/src/media/rtp/srtpCrypto'],
  words: WORDS,
  maxBytes: 70_000,
  seeds: () => SEEDS,
  run: (input) => {
    for (const srtp of ['off', 'optional', 'mandatory'] as const) {
      const session = newSession(srtp);
      const answered = session.answerOffer(input);
      if (answered.ok) expectGood(answered.value.sdp, input);
      const asked = newSession(srtp);
      asked.makeOffer();
      const settled = asked.acceptAnswer(input);
      if (settled.ok) expectGood(asked.makeOffer(), input);
    }
    for (const line of input.toString('latin1').split('\n').slice(0, 100)) {
      const crypto = parseCrypto(line.trim());
      if (crypto !== undefined)
        expect(parseCrypto(printCrypto(crypto)) !== undefined, 'crypto-unstable', () => show(line));
    }
  },
};
