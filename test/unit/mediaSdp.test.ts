import fc from 'fast-check';
import t from 'tap';
import type { Codec } from '../../src/media/index.js';
import { type SrtpSuite, newCrypto } from '../../src/media/rtp/srtp.js';
import { SeededRandom } from '../../src/kernel/index.js';
import type { Capabilities } from '../../src/media/sdp/negotiate.js';
import { addressFamily, isUnicast, isUnspecified } from '../../src/media/sdp/numericAddress.js';
import { parseSdp } from '../../src/media/sdp/parse.js';
import { SdpSession } from '../../src/media/sdp/session.js';

const KEY = 'd0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj';

const session = (own: Partial<Capabilities> = {}): SdpSession => {
  const random = new SeededRandom(1);
  const keys = new Map<SrtpSuite, ReturnType<typeof newCrypto>>();
  return new SdpSession(
    {
      address: '192.0.2.1',
      port: 20_000,
      codecs: undefined,
      dtmfPayloadType: 101,
      ptimeMs: undefined,
      srtp: 'off',
      keyFor: (tag, suite) => {
        const key = keys.get(suite) ?? newCrypto(tag, suite, random);
        keys.set(suite, key);
        return { ...key, tag };
      },
      ...own,
    },
    '4711',
  );
};

const sdp = (audio: readonly string[], head: readonly string[] = ['c=IN IP4 192.0.2.9']): Buffer =>
  Buffer.from(['v=0', 'o=- 1 1 IN IP4 192.0.2.9', 's=-', ...head, 't=0 0', ...audio, ''].join('\r\n'));

const plain = ['m=audio 4000 RTP/AVP 0 8 101', 'a=rtpmap:101 telephone-event/8000'];

const answer = (offer: Buffer, own: Partial<Capabilities> = {}) => {
  const answered = session(own).answerOffer(offer);
  if (!answered.ok) throw new Error(`${answered.error.code}: ${answered.error.message}`);
  return { text: answered.value.sdp.toString(), ...answered.value.negotiated };
};

const refusal = (offer: Buffer | string, own: Partial<Capabilities> = {}): string => {
  const answered = session(own).answerOffer(Buffer.from(offer));
  return answered.ok ? 'accepted' : answered.error.code;
};

t.test('an answer names one codec, the events and our address', async (t) => {
  const { text, ...negotiated } = answer(sdp(plain));
  t.equal(
    text,
    [
      'v=0',
      'o=- 4711 1 IN IP4 192.0.2.1',
      's=-',
      'c=IN IP4 192.0.2.1',
      't=0 0',
      'm=audio 20000 RTP/AVP 0 101',
      'a=rtpmap:0 PCMU/8000',
      'a=rtpmap:101 telephone-event/8000',
      'a=fmtp:101 0-15',
      'a=sendrecv',
      '',
    ].join('\r\n'),
  );
  t.match(negotiated, {
    codec: 'PCMU',
    clockRate: 8000,
    payloadType: 0,
    sendEvents: 101,
    receiveEvents: 101,
    remoteAddress: '192.0.2.9',
    remotePort: 4000,
    remoteRtcpPort: 4001,
    sends: true,
    receives: true,
    packetMs: 20,
    crypto: undefined,
  });
});

t.test("our preference chooses where we have one, else the offer's order does", async (t) => {
  const offer = sdp(['m=audio 4000 RTP/AVP 18 8 0']);
  t.equal(answer(offer).codec, 'PCMA');
  t.equal(answer(offer, { codecs: ['PCMU', 'PCMA'] }).codec, 'PCMU');
  t.equal(refusal(sdp(['m=audio 4000 RTP/AVP 0']), { codecs: ['PCMA'] }), 'no_common_codec');
});

t.test('codecs are known by their map, not by their number', async (t) => {
  const mapped = answer(
    sdp([
      'm=audio 4000 RTP/AVP 0 97 98',
      'a=rtpmap:0 X-OWN/8000',
      'a=rtpmap:97 pcma/8000/1',
      'a=rtpmap:98 telephone-event/8000',
    ]),
  );
  t.equal(mapped.payloadType, 97);
  t.equal(mapped.codec, 'PCMA');
  t.same([...mapped.receive], [[97, 'PCMA']]);
  t.equal(mapped.sendEvents, 98);
  t.match(mapped.text, /a=rtpmap:97 PCMA\/8000\r\n/);
  for (const map of ['PCMU/16000', 'PCMU/8000/2', 'L16/8000'])
    t.equal(refusal(sdp(['m=audio 4000 RTP/AVP 96', `a=rtpmap:96 ${map}`])), 'no_common_codec', map);
  const wide = answer(sdp(['m=audio 4000 RTP/AVP 0 96', 'a=rtpmap:96 telephone-event/48000']));
  t.equal(wide.sendEvents, undefined, 'events of another clock are not ours');
});

t.test(
  'linear audio is spoken where it is asked for: at 16 kHz, else at 8 kHz, with events of its clock',
  async (t) => {
    const offer = (...formats: string[]) =>
      sdp([
        `m=audio 4000 RTP/AVP ${formats.map((text) => text.split(' ')[0]).join(' ')}`,
        ...formats.map((text) => `a=rtpmap:${text}`),
      ]);
    const all = offer(
      '0 PCMU/8000',
      '98 L16/8000',
      '99 L16/16000',
      '100 telephone-event/8000',
      '101 telephone-event/16000',
    );
    t.match(answer(all, { codecs: ['L16', 'PCMU'] }), {
      codec: 'L16',
      clockRate: 16_000,
      payloadType: 99,
      receive: new Map([[99, 'L16']]),
      sendEvents: 101,
      receiveEvents: 101,
      text: /m=audio 20000 RTP\/AVP 99 101\r\na=rtpmap:99 L16\/16000\r\na=rtpmap:101 telephone-event\/16000\r\n/,
    });
    t.match(answer(all, { codecs: ['PCMU', 'L16'] }), { codec: 'PCMU', clockRate: 8000, sendEvents: 100 });
    t.match(answer(all), { codec: 'PCMU' }, 'nobody asked for it');
    t.match(answer(offer('97 L16/8000'), { codecs: ['L16'] }), {
      codec: 'L16',
      clockRate: 8000,
      sendEvents: undefined,
    });
    for (const map of ['L16/44100', 'L16/16000/2', 'L16/48000'])
      t.equal(refusal(offer(`96 ${map}`), { codecs: ['L16'] }), 'no_common_codec', map);
    t.equal(answer(offer('99 L16/16000'), { codecs: ['L16'], ptimeMs: 60 }).packetMs, 20, 'what fits a datagram');
    t.equal(answer(offer('99 L16/8000'), { codecs: ['L16'], ptimeMs: 60 }).packetMs, 40);
    const one = session({ codecs: ['L16', 'PCMA'], dtmfPayloadType: 96 });
    t.match(
      one.makeOffer().toString(),
      /AVP 97 98 8 99 96\r\na=rtpmap:97 L16\/16000\r\na=rtpmap:98 L16\/8000\r\na=rtpmap:8 PCMA\/8000\r\na=rtpmap:99 tel/,
    );
    const wide = one.acceptAnswer(offer('97 L16/16000', '99 telephone-event/16000'));
    t.match(wide, { ok: true, value: { codec: 'L16', clockRate: 16_000, sendEvents: 99, receiveEvents: 99 } });
    t.same(wide.ok && [...wide.value.receive], [[97, 'L16']]);
    const narrow = one.acceptAnswer(offer('8 PCMA/8000', '96 telephone-event/8000'));
    t.match(narrow, { ok: true, value: { codec: 'PCMA', clockRate: 8000, receiveEvents: 96 } }, 'the answer of a fork');
    t.same(narrow.ok && [...narrow.value.receive], [
      [98, 'L16'],
      [8, 'PCMA'],
    ]);
  },
);

t.test('our payload types keep out of the way of those that the peer has used', async (t) => {
  const one = session({ codecs: ['PCMU', 'L16'] });
  one.answerOffer(sdp(['m=audio 4000 RTP/AVP 0 96 97', 'a=rtpmap:96 opus/48000/2', 'a=rtpmap:97 L16/8000']));
  t.match(one.makeOffer().toString(), /AVP 0 98 97 101 99\r\n/);
});

t.test('the other sections are refused in place, the second audio too (RFC 3264 §6)', async (t) => {
  const { text } = answer(
    sdp([
      'm=video 5000 RTP/AVP 96',
      'a=rtpmap:96 H264/90000',
      ...plain,
      'm=audio 4010 RTP/AVP 8',
      'm=image 5010 udptl t38',
      'm=message 7394 TCP/MSRP *',
    ]),
  );
  t.same(text.match(/^m=.*(?=\r$)/gm), [
    'm=video 0 RTP/AVP 96',
    'm=audio 20000 RTP/AVP 0 101',
    'm=audio 0 RTP/AVP 8',
    'm=image 0 udptl t38',
    'm=message 0 TCP/MSRP *',
  ]);
});

t.test('the first audio section that can be served is taken', async (t) => {
  const { text } = answer(sdp(['m=audio 4000 RTP/AVP 18', 'm=audio 0 RTP/AVP 0', 'm=audio 4010/2 RTP/AVP 8']));
  t.same(text.match(/^m=.*(?=\r$)/gm), ['m=audio 0 RTP/AVP 18', 'm=audio 0 RTP/AVP 0', 'm=audio 20000 RTP/AVP 8']);
});

t.test('directions are turned around (RFC 3264 §6.1, §8.4)', async (t) => {
  const cases = [
    ['a=sendrecv', 'sendrecv', true, true],
    ['a=sendonly', 'recvonly', false, true],
    ['a=recvonly', 'sendonly', true, false],
    ['a=inactive', 'inactive', false, false],
  ] as const;
  for (const [line, ours, sends, receives] of cases) {
    t.match(answer(sdp([...plain, line])), { sends, receives, text: new RegExp(`a=${ours}\r\n`) }, line);
    t.match(answer(sdp(plain, ['c=IN IP4 192.0.2.9', line])), { sends, receives }, `${line} of the session`);
  }
  t.match(
    answer(sdp([...plain, 'a=sendonly'], ['c=IN IP4 192.0.2.9', 'a=inactive'])),
    { receives: true },
    'the section rules',
  );
  t.match(answer(sdp(plain, ['c=IN IP4 0.0.0.0'])), { sends: false, receives: true, text: /a=recvonly/ });
  t.match(answer(sdp([...plain, 'a=sendonly'], ['c=IN IP4 0.0.0.0'])), { sends: false, text: /a=recvonly/ });
  t.match(answer(sdp([...plain, 'a=recvonly'], ['c=IN IP4 0.0.0.0'])), { sends: false, text: /a=inactive/ });
});

t.test("the peer's packet time is kept, within what we can make", async (t) => {
  const packetMs = (...lines: string[]) => answer(sdp([...plain, ...lines])).packetMs;
  t.equal(packetMs('a=ptime:30'), 30);
  t.equal(packetMs('a=ptime:10'), 10);
  t.equal(packetMs('a=ptime:200'), 60);
  t.equal(packetMs('a=maxptime:10'), 10);
  t.equal(packetMs('a=ptime:60', 'a=maxptime:40'), 40);
  t.equal(packetMs('a=ptime:0'), 20);
  t.equal(packetMs('a=ptime:five'), 20);
  t.match(answer(sdp([...plain, 'a=ptime:30'])).text, /a=ptime:30\r\n/);
  t.equal(answer(sdp(plain), { ptimeMs: 40 }).packetMs, 40);
});

t.test('RTCP goes where the peer says (RFC 3605)', async (t) => {
  t.match(answer(sdp([...plain, 'a=rtcp:5555'])), { remoteRtcpPort: 5555, remoteRtcpAddress: '192.0.2.9' });
  t.match(answer(sdp([...plain, 'a=rtcp:5555 IN IP4 192.0.2.10'])), { remoteRtcpAddress: '192.0.2.10' });
});

t.test('RTCP has its own port: an offer to share the one of RTP is not taken up (RFC 5761 §5.1.1)', async (t) => {
  const { text, remoteRtcpPort } = answer(sdp([...plain, 'a=rtcp-mux', 'a=rtcp:4000']));
  t.notMatch(text, 'rtcp-mux');
  t.equal(remoteRtcpPort, 4000, 'ours go where the peer hears them');
});

t.test('hold in every dialect, and back', async (t) => {
  const one = session();
  const states = [
    [[], 'sendrecv'],
    [['a=sendonly'], 'recvonly'],
    [[], 'sendrecv'],
    [['a=inactive'], 'inactive'],
    [['c=IN IP4 0.0.0.0'], 'recvonly'],
    [['c=IN IP4 0.0.0.0', 'a=inactive'], 'inactive'],
    [['a=recvonly'], 'sendonly'],
    [[], 'sendrecv'],
  ] as const;
  for (const [version, [lines, ours]] of states.entries()) {
    const answered = one.answerOffer(sdp([...plain, ...lines]));
    const text = answered.ok ? answered.value.sdp.toString() : '';
    t.match(text, new RegExp(`^o=- 4711 ${version + 1} .*a=${ours}\r\n`, 'ms'), [...lines, ours].join(' '));
  }
});

t.test('IPv6, and no talk between the families', async (t) => {
  const six = { address: '2001:db8::1' };
  const offer = sdp(plain, ['c=IN IP6 2001:DB8:0::9']);
  t.match(answer(offer, six), { remoteAddress: '2001:db8::9', text: /^c=IN IP6 2001:db8::1\r$/m });
  t.match(answer(offer, six).text, /^o=- 4711 1 IN IP6 2001:db8::1\r$/m);
  t.equal(refusal(offer), 'no_common_codec');
  t.match(answer(sdp(plain, ['c=IN IP6 ::']), six), { sends: false });
});

t.test('an address of the section goes before that of the session', async (t) => {
  t.match(answer(sdp([...plain, 'c=IN IP4 192.0.2.77'])), { remoteAddress: '192.0.2.77' });
  t.match(answer(sdp([...plain, 'c=IN IP4 192.0.2.77'], [])), { remoteAddress: '192.0.2.77' });
});

t.test('SRTP: the secure profile, the first suite we know, our key', async (t) => {
  const secure = (...crypto: string[]) => sdp(['m=audio 4000 RTP/SAVP 0', ...crypto.map((line) => `a=crypto:${line}`)]);
  const offer = secure(
    `1 AEAD_AES_256_GCM inline:${KEY}`,
    `7 AES_CM_128_HMAC_SHA1_32 inline:${KEY}|2^31`,
    `8 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`,
  );
  for (const srtp of ['optional', 'mandatory'] as const) {
    const answered = answer(offer, { srtp });
    t.match(answered.text, /^m=audio 20000 RTP\/SAVP 0\r$/m);
    t.match(answered.text, /^a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:[A-Za-z0-9+/]{40}\r$/m);
    t.notMatch(answered.text, KEY);
    t.equal(answered.crypto?.remote.key.length, 16);
  }
  t.equal(refusal(offer), 'srtp_not_supported');
  t.equal(refusal(secure(), { srtp: 'optional' }), 'srtp_not_supported');
  t.equal(refusal(secure('1 AES_CM_128_HMAC_SHA1_80 inline:short'), { srtp: 'optional' }), 'srtp_not_supported');
  t.equal(refusal(sdp(plain), { srtp: 'mandatory' }), 'srtp_required');
  t.equal(answer(sdp(plain), { srtp: 'optional' }).crypto, undefined);
  const bestEffort = sdp([...plain, `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`]);
  t.ok(answer(bestEffort, { srtp: 'optional' }).crypto, 'keys beside the plain profile');
  t.equal(answer(bestEffort).crypto, undefined);
  t.equal(refusal(sdp(['m=audio 4000 UDP/TLS/RTP/SAVPF 0'])), 'srtp_not_supported');
});

t.test('our key stays ours over later offers', async (t) => {
  const one = session({ srtp: 'mandatory' });
  const offer = sdp(['m=audio 4000 RTP/SAVP 0', `a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`]);
  const first = one.answerOffer(offer);
  const second = one.answerOffer(offer);
  t.ok(first.ok && second.ok && first.value.sdp.equals(second.value.sdp));
});

t.test('the version goes up when something changed, and only then (RFC 3264 §8)', async (t) => {
  const one = session();
  const version = (offer: Buffer) => {
    const answered = one.answerOffer(offer);
    return answered.ok ? /^o=- 4711 (\d+) /m.exec(answered.value.sdp.toString())?.[1] : answered.error.code;
  };
  t.equal(version(sdp(plain)), '1');
  t.equal(version(sdp(plain)), '1');
  t.equal(version(sdp([...plain, 'a=sendonly'])), '2');
  t.equal(version(sdp(['m=audio 4000 RTP/AVP 18'])), 'no_common_codec');
  t.equal(version(sdp([...plain, 'a=sendonly'])), '2', 'a failed exchange leaves no trace');
  t.equal(version(sdp(plain)), '3');
});

t.test('our offer, and the answers it may get', async (t) => {
  const offered = (codecs?: readonly Exclude<Codec, 'opus'>[]) => {
    const one = session({ codecs });
    return { one, text: one.makeOffer().toString() };
  };
  t.match(offered().text, /^m=audio 20000 RTP\/AVP 0 8 101\r$/m);
  t.match(offered(['PCMA']).text, /^m=audio 20000 RTP\/AVP 8 101\r$/m);
  t.match(offered().text, /a=ptime:20\r\na=sendrecv|a=sendrecv\r\na=ptime:20/);
  const accept = (lines: readonly string[]) => {
    const accepted = offered().one.acceptAnswer(sdp(lines));
    return accepted.ok ? accepted.value : accepted.error.code;
  };
  t.match(accept(['m=audio 4000 RTP/AVP 8 97', 'a=rtpmap:97 telephone-event/8000']), {
    codec: 'PCMA',
    payloadType: 8,
    sendEvents: 97,
    receiveEvents: 101,
  });
  t.match(accept(['m=audio 4000 RTP/AVP 0']), { sendEvents: undefined, receiveEvents: undefined });
  t.match(accept(['m=audio 4000 RTP/AVP 0', 'a=sendonly']), { sends: false, receives: true });
  t.equal(accept(['m=audio 0 RTP/AVP 0']), 'no_common_codec');
  t.equal(accept(['m=audio 4000 RTP/AVP 18']), 'no_common_codec');
  t.equal(accept([]), 'sdp_invalid');
  t.equal(accept(['m=audio 4000 RTP/AVP 0', 'm=video 0 RTP/AVP 96']), 'sdp_invalid');
  t.equal(accept(['m=video 4000 RTP/AVP 0']), 'sdp_invalid');
  const unasked = session().acceptAnswer(sdp(plain));
  t.match(unasked, { ok: false, error: { code: 'sdp_invalid' } });
});

t.test('a later offer of ours keeps the sections and payload types of the session', async (t) => {
  const one = session();
  one.answerOffer(sdp(['m=video 5000 RTP/AVP 96', 'm=audio 4000 RTP/AVP 8 97', 'a=rtpmap:97 telephone-event/8000']));
  const text = one.makeOffer().toString();
  t.same(text.match(/^m=.*(?=\r$)/gm), ['m=video 0 RTP/AVP 96', 'm=audio 20000 RTP/AVP 0 8 97']);
  t.match(
    one.acceptAnswer(sdp(['m=video 0 RTP/AVP 96', 'm=audio 4000 RTP/AVP 0 97', 'a=rtpmap:97 telephone-event/8000'])),
    { ok: true },
  );
});

t.test('SRTP in our offer', async (t) => {
  const one = session({ srtp: 'mandatory' });
  const text = one.makeOffer().toString();
  t.match(text, /^m=audio 20000 RTP\/SAVP /m);
  t.equal(text.match(/^a=crypto:/gm)?.length, 2);
  t.match(one.acceptAnswer(sdp(['m=audio 4000 RTP/SAVP 0'])), { ok: false, error: { code: 'srtp_required' } });
  const wrongTag = sdp(['m=audio 4000 RTP/SAVP 0', `a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:${KEY}`]);
  t.match(one.acceptAnswer(wrongTag), { ok: false, error: { code: 'srtp_required' } });
  const right = sdp(['m=audio 4000 RTP/SAVP 0', `a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:${KEY}`]);
  t.match(one.acceptAnswer(right), { ok: true, value: { crypto: { local: { tag: 2 } } } });
  t.match(
    session({ srtp: 'optional' }).makeOffer().toString(),
    /^m=audio 20000 RTP\/AVP .*\r\n(a=.*\r\n)*a=crypto:1 /m,
  );
});

t.test('what is no session description is refused, and says what is wrong', async (t) => {
  for (const bad of [
    '',
    'hello',
    'v=1\r\n',
    'v=0\r\ns=-\r\n',
    sdp(['m=audio']),
    sdp(['m=audio 70000 RTP/AVP 0']),
    sdp(['m=audio -1 RTP/AVP 0']),
    sdp(plain, []),
    sdp(plain, ['c=IN IP4 pbx.example']),
    sdp(plain, ['c=IN IP4 192.0.2.256']),
    sdp(plain, ['c=IN IP4 010.0.2.1']),
    sdp(plain, ['c=IN IP4 224.2.1.1/127']),
    sdp(plain, ['c=IN IP4 239.0.0.1']),
    sdp(plain, ['c=IN IP4 255.255.255.255']),
    sdp(plain, ['c=IN IP6 fe80::1%eth0']),
    `v=0\r\n${'a=x\r\n'.repeat(1001)}`,
    Buffer.alloc(70_000, 'v=0\r\n'),
    sdp(Array.from({ length: 33 }, () => 'm=audio 4000 RTP/AVP 0')),
  ])
    t.equal(refusal(bad), 'sdp_invalid', JSON.stringify(bad.toString('latin1').slice(0, 120)));
  t.equal(refusal(sdp([])), 'no_common_codec');
});

t.test('line ends of every kind, unknown lines and repeated formats do not matter', async (t) => {
  const offer = sdp([
    'm=audio 4000 RTP/AVP 0 0 8',
    'a=\u00e9\u00ff',
    'x=unknown',
    'b=AS:64',
    'a=rtpmap:999 X/1',
  ]).toString();
  for (const end of ['\n', '\r', '\r\n']) t.equal(answer(Buffer.from(offer.replaceAll('\r\n', end))).codec, 'PCMU');
});

t.test('addresses', async (t) => {
  t.equal(addressFamily('192.0.2.1'), 4);
  t.equal(addressFamily('2001:db8::1'), 6);
  for (const text of ['', '1', '1.2.3', '0x7f.1', '1.2.3.4.5', 'a:b', '[::1]', '::1%lo'])
    t.equal(addressFamily(text), 0, text);
  t.ok(isUnspecified('0.0.0.0') && isUnspecified('::') && isUnspecified('0:0::0'));
  t.ok(isUnicast('10.0.0.1') && isUnicast('127.0.0.1') && !isUnicast('ff02::1') && !isUnicast('x'));
});

t.test('arbitrary input neither throws nor takes long (S5, S18)', async (t) => {
  const lines = fc.constantFrom(
    'v=0',
    'o=- 1 1 IN IP4 1.2.3.4',
    'c=IN IP4 1.2.3.4',
    'm=audio 4000 RTP/AVP 0 8 97',
    'a=rtpmap:',
    'a=fmtp:97',
    'a=crypto:1 ',
    'a=ptime:',
    'a=rtcp:',
    't=0 0',
    '=',
    ' ',
  );
  const text = fc.array(fc.tuple(lines, fc.string({ maxLength: 30 })), { maxLength: 40 });
  fc.assert(
    fc.property(text, (parts) => {
      session({ srtp: 'optional' }).answerOffer(Buffer.from(parts.map(([a, b]) => a + b).join('\r\n'), 'latin1'));
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => parseSdp(Buffer.from(bytes)).ok || true));
  for (const line of [
    'a=crypto:',
    'a=rtpmap:',
    'a=fmtp:',
    'm=',
    'o=',
    'c=',
    'a=rtcp:',
    'm=audio 1 RTP/AVP ',
    'a=ptime:',
  ]) {
    for (const fill of ['1', ' ', '1 ', 'a/', '|', '\t']) {
      const offer = Buffer.from(`v=0\r\n${(line + fill.repeat(1000)).slice(0, 2000)}\r\n`.repeat(32));
      // The best of three: another process may have had the core.
      let tookMs = Infinity;
      for (let turn = 0; turn < 3 && tookMs > 50; turn++) {
        const startMs = performance.now();
        parseSdp(offer);
        tookMs = Math.min(tookMs, performance.now() - startMs);
      }
      if (tookMs > 50) t.fail(`${line}${fill} takes ${tookMs} ms`);
    }
  }
});
