import { type Result, err, ok } from '../../kernel/index.js';
import type { Rate } from '../codec/rate.js';
import type { MediaProblem } from '../port.js';
import { SRTP_SUITES, type SdesCrypto, type SrtpSuite } from '../rtp/srtp.js';
import {
  type AgreedCrypto,
  type AudioFormat,
  type Direction,
  MAX_PAYLOAD_BYTES,
  type MediaSection,
  type NegotiatedAudio,
  type RtpCodec,
  bytesPerSample,
  sdpProblem,
} from './description.js';
import { type PayloadTypes, formatName } from './payloadTypes.js';
import { addressFamily, isUnicast, isUnspecified, plainAddress } from './numericAddress.js';

/** What we can do and want. */
export interface Capabilities {
  /** Our address in SDP; its family is the only one we can talk to. */
  readonly address: string;
  readonly port: number;
  /** In order of preference; undefined: the peer's order counts. */
  readonly codecs: readonly RtpCodec[] | undefined;
  readonly dtmfPayloadType: number;
  readonly ptimeMs: number | undefined;
  readonly srtp: 'off' | 'optional' | 'mandatory';
  /** Our key for a suite: the same one each time, under the tag given. */
  readonly keyFor: (tag: number, suite: SrtpSuite) => SdesCrypto;
}

/** A codec at a rate: what a format stands for here. */
interface Kind {
  readonly codec: RtpCodec;
  readonly clockRate: Rate;
}

/** The best first. */
const KINDS: { readonly [codec in RtpCodec]: readonly Kind[] } = {
  PCMU: [{ codec: 'PCMU', clockRate: 8000 }],
  PCMA: [{ codec: 'PCMA', clockRate: 8000 }],
  L16: [
    { codec: 'L16', clockRate: 16_000 },
    { codec: 'L16', clockRate: 8000 },
  ],
};
const DEFAULT_CODECS: readonly RtpCodec[] = ['PCMU', 'PCMA'];
const MAX_PACKET_MS = 60;
/** RFC 4733 §7.1.1: the sixteen keys. */
const DTMF_EVENTS = '0-15';

const PLAIN = new Set(['RTP/AVP', 'RTP/AVPF']);
const SECURE = new Set(['RTP/SAVP', 'RTP/SAVPF']);

const isKind = (format: AudioFormat, { codec, clockRate }: Kind): boolean =>
  format.encoding === codec && format.clockRate === clockRate && format.channels === 1;

const kindsOf = (codecs: readonly RtpCodec[] | undefined): Kind[] =>
  (codecs ?? DEFAULT_CODECS).flatMap((codec) => KINDS[codec]);

/** RFC 4733 §2.1: events share the timestamps, so also the clock, of the audio. */
const eventsOf = (section: MediaSection, clockRate: Rate): AudioFormat | undefined =>
  section.audio.find((format) => format.encoding === 'TELEPHONE-EVENT' && format.clockRate === clockRate);

const INVERSE: Record<Direction, Direction> = {
  sendrecv: 'sendrecv',
  sendonly: 'recvonly',
  recvonly: 'sendonly',
  inactive: 'inactive',
};

/** Our side of a direction that the peer stated (RFC 3264 §6.1), and of a connection address of 0.0.0.0 (§8.4). */
const ourDirection = (section: MediaSection): Direction => {
  const ours = INVERSE[section.direction];
  if (section.address === undefined || !isUnspecified(section.address)) return ours;
  return ours === 'sendrecv' || ours === 'recvonly' ? 'recvonly' : 'inactive';
};

export interface AnsweredAudio {
  readonly negotiated: NegotiatedAudio;
  readonly formats: readonly AudioFormat[];
  readonly direction: Direction;
  readonly crypto: readonly SdesCrypto[];
}

/** Our answer to one offered audio section (RFC 3264 §6). */
export function answerSection(section: MediaSection, own: Capabilities): Result<AnsweredAudio, MediaProblem> {
  const reachable = checkAddress(section, own);
  if (reachable !== undefined) return err(reachable);
  const chosen = chooseFormat(section, own.codecs);
  if (chosen === undefined) {
    const wanted = kindsOf(own.codecs).map((kind) => `${kind.codec}/${kind.clockRate}`);
    return err(sdpProblem('no_common_codec', `the offer has none of ${wanted.join(', ')}`));
  }
  const crypto = answerCrypto(section, own);
  if (!crypto.ok) return crypto;
  const events = eventsOf(section, chosen.kind.clockRate);
  const direction = ourDirection(section);
  const formats = events === undefined ? [chosen.format] : [chosen.format, { ...events, fmtp: DTMF_EVENTS }];
  return ok({
    negotiated: settle(section, {
      chosen,
      receive: new Map([[chosen.format.payloadType, chosen.kind.codec]]),
      receiveEvents: events?.payloadType,
      direction,
      crypto: crypto.value,
      wishMs: own.ptimeMs,
    }),
    formats,
    direction,
    crypto: crypto.value === undefined ? [] : [crypto.value.local],
  });
}

/** The formats of our own offer. */
export function offeredFormats(own: Capabilities, types: PayloadTypes): AudioFormat[] {
  const kinds = kindsOf(own.codecs);
  const format = (encoding: string, clockRate: number, fmtp: string): AudioFormat => {
    const name = { encoding, clockRate };
    return { ...name, payloadType: types.of(formatName(name)), channels: 1, fmtp };
  };
  const rates = new Set(kinds.map(({ clockRate }) => clockRate));
  return [
    ...kinds.map(({ codec, clockRate }) => format(codec, clockRate, '')),
    ...[...rates].map((clockRate) => format('TELEPHONE-EVENT', clockRate, DTMF_EVENTS)),
  ];
}

/** Mandatory: the secure profile. Optional: the plain one with keys, which peers that do not know them pass over. */
export function offeredSecurity(own: Capabilities): { protocol: string; crypto: SdesCrypto[] } {
  const crypto = own.srtp === 'off' ? [] : SRTP_SUITES.map((suite, index) => own.keyFor(index + 1, suite));
  return { protocol: own.srtp === 'mandatory' ? 'RTP/SAVP' : 'RTP/AVP', crypto };
}

/** What the peer's answer to our offer settled (RFC 3264 §7). */
export function settleAnswer(
  section: MediaSection,
  own: Capabilities,
  types: PayloadTypes,
): Result<NegotiatedAudio, MediaProblem> {
  if (section.port === 0) return err(sdpProblem('no_common_codec', 'the answer refuses the audio section'));
  const reachable = checkAddress(section, own);
  if (reachable !== undefined) return err(reachable);
  const offered = kindsOf(own.codecs);
  const chosen = firstOf(section, offered);
  if (chosen === undefined) return err(sdpProblem('no_common_codec', 'the answer has none of the codecs offered'));
  const crypto = answeredCrypto(section, own);
  if (!crypto.ok) return crypto;
  const { clockRate } = chosen.kind;
  const receive = new Map<number, RtpCodec>();
  // By our own types; senders that use those of their answer instead are understood all the same.
  for (const kind of offered) {
    if (kind.clockRate !== clockRate) continue;
    receive.set(types.of(`${kind.codec}/${clockRate}`), kind.codec);
    const theirs = section.audio.find((format) => isKind(format, kind));
    if (theirs !== undefined && !receive.has(theirs.payloadType)) receive.set(theirs.payloadType, kind.codec);
  }
  const events = eventsOf(section, clockRate);
  return ok(
    settle(section, {
      chosen,
      receive,
      receiveEvents: events === undefined ? undefined : types.of(`TELEPHONE-EVENT/${clockRate}`),
      direction: ourDirection(section),
      crypto: crypto.value,
      wishMs: own.ptimeMs,
    }),
  );
}

interface Chosen {
  readonly kind: Kind;
  readonly format: AudioFormat;
}

/** The first format both know: by our order when we have one, else by the peer's (RFC 3264 §6.1). */
const chooseFormat = (section: MediaSection, preference: readonly RtpCodec[] | undefined): Chosen | undefined => {
  const kinds = kindsOf(preference);
  if (preference === undefined) return firstOf(section, kinds);
  for (const kind of kinds) {
    const format = section.audio.find((candidate) => isKind(candidate, kind));
    if (format !== undefined) return { kind, format };
  }
  return undefined;
};

/** The first of the peer's formats that is one of these. */
const firstOf = (section: MediaSection, kinds: readonly Kind[]): Chosen | undefined => {
  for (const format of section.audio) {
    const kind = kinds.find((candidate) => isKind(format, candidate));
    if (kind !== undefined) return { kind, format };
  }
  return undefined;
};

const checkAddress = (section: MediaSection, own: Capabilities): MediaProblem | undefined => {
  const address = section.address ?? '';
  if (isUnspecified(address)) return undefined;
  if (addressFamily(address) !== addressFamily(own.address))
    return sdpProblem('no_common_codec', `no IPv${addressFamily(address)} address to talk to the peer's ${address}`);
  return isUnicast(address) ? undefined : sdpProblem('sdp_invalid', `not an address of one host: ${address}`);
};

/** The section can be served: its transport is one of ours. A wrong security is told apart later. */
export const isRtpAudio = (section: MediaSection): boolean =>
  section.kind === 'audio' && section.port > 0 && (PLAIN.has(section.protocol) || SECURE.has(section.protocol));

/** Audio with keys from DTLS, which this engine does not speak. */
export const isDtlsAudio = (section: MediaSection): boolean =>
  section.kind === 'audio' && section.port > 0 && section.protocol.startsWith('UDP/TLS/RTP/');

const answerCrypto = (section: MediaSection, own: Capabilities): Result<AgreedCrypto | undefined, MediaProblem> => {
  const secure = SECURE.has(section.protocol);
  if (secure && own.srtp === 'off') return err(sdpProblem('srtp_not_supported', 'the peer insists on SRTP'));
  // The peer's order of preference counts (RFC 4568 §5.1.2).
  const [remote] = section.crypto;
  if (remote !== undefined && own.srtp !== 'off') return ok({ local: own.keyFor(remote.tag, remote.suite), remote });
  if (secure) return err(sdpProblem('srtp_not_supported', 'no crypto attribute of the offer is supported'));
  if (own.srtp === 'mandatory') return err(sdpProblem('srtp_required', 'the trunk demands SRTP'));
  return ok(undefined);
};

/** RFC 4568 §5.1.3: the answer repeats tag and suite of one offered line. */
const answeredCrypto = (section: MediaSection, own: Capabilities): Result<AgreedCrypto | undefined, MediaProblem> => {
  const remote = section.crypto.find((theirs) => SRTP_SUITES[theirs.tag - 1] === theirs.suite);
  if (remote !== undefined && own.srtp !== 'off') return ok({ local: own.keyFor(remote.tag, remote.suite), remote });
  if (own.srtp === 'mandatory') return err(sdpProblem('srtp_required', 'the answer has no usable crypto attribute'));
  return ok(undefined);
};

interface Settled {
  readonly chosen: Chosen;
  readonly receive: ReadonlyMap<number, RtpCodec>;
  readonly receiveEvents: number | undefined;
  readonly direction: Direction;
  readonly crypto: AgreedCrypto | undefined;
  readonly wishMs: number | undefined;
}

const settle = (section: MediaSection, settled: Settled): NegotiatedAudio => {
  const address = plainAddress(section.address ?? '');
  const { chosen, direction } = settled;
  const { codec, clockRate } = chosen.kind;
  return {
    codec,
    clockRate,
    payloadType: chosen.format.payloadType,
    receive: settled.receive,
    sendEvents: eventsOf(section, clockRate)?.payloadType,
    receiveEvents: settled.receiveEvents,
    remoteAddress: address,
    remotePort: section.port,
    remoteRtcpAddress: plainAddress(section.rtcp?.address ?? address),
    // RFC 3550 §11: the next odd port, unless the peer names one.
    remoteRtcpPort: section.rtcp?.port ?? section.port + 1,
    sends: direction === 'sendrecv' || direction === 'sendonly',
    receives: direction === 'sendrecv' || direction === 'recvonly',
    packetMs: packetMs(section, settled.wishMs, chosen.kind),
    crypto: settled.crypto,
  };
};

/** What the peer wants to receive (RFC 4566 §6 ptime), in whole steps of 10 ms, within its maxptime and a datagram. */
const packetMs = (section: MediaSection, wishMs: number | undefined, { codec, clockRate }: Kind): number => {
  const fittingMs = (MAX_PAYLOAD_BYTES * 1000) / (clockRate * bytesPerSample(codec));
  const asked = section.ptimeMs ?? wishMs ?? 20;
  const limited = Math.min(asked, section.maxptimeMs ?? asked, MAX_PACKET_MS, fittingMs);
  return Math.max(10, Math.floor(limited / 10) * 10);
};
