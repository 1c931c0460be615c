import { parse, type MediaDescription } from 'sdp-transform';
import { type Result, err, ok } from '../../kernel/index.js';
import type { MediaProblem } from '../port.js';
import { type SdesCrypto, parseCrypto } from '../rtp/srtp.js';
import {
  type AudioFormat,
  type Direction,
  type MediaSection,
  type SessionDescription,
  sdpProblem,
} from './description.js';
import { addressFamily } from './numericAddress.js';

const MAX_BYTES = 65_536;
const MAX_LINES = 1000;
const MAX_LINE = 2048;
const MAX_SECTIONS = 32;
const MAX_FORMATS = 128;

/** Lines that this exchange acts on. All others are dropped before the library's expressions see them (S18). */
const WANTED =
  /^(?:[vosct]=|m=|a=(?:rtpmap|fmtp|ptime|maxptime|crypto|rtcp):|a=(?:sendrecv|sendonly|recvonly|inactive)$)/;
const MEDIA_LINE = /^m=([\w.+-]+) +(\d{1,5})(?:\/\d{1,5})? +([\w./+-]+) +([!-~][ -~]*)$/;

interface MediaLine {
  readonly kind: string;
  readonly port: number;
  readonly protocol: string;
  readonly formats: string;
}

/** RFC 3551 §6, of the codecs in question: formats that need no rtpmap. */
const STATIC: ReadonlyMap<number, readonly [encoding: string, clockRate: number]> = new Map([
  [0, ['PCMU', 8000]],
  [3, ['GSM', 8000]],
  [4, ['G723', 8000]],
  [8, ['PCMA', 8000]],
  [9, ['G722', 8000]],
  [13, ['CN', 8000]],
  [18, ['G729', 8000]],
]);

const invalid = (message: string): Result<never, MediaProblem> => err(sdpProblem('sdp_invalid', message));

/**
 * Reads a session description (RFC 4566, RFC 8866). Linear in its length and bounded.
 * @returns `sdp_invalid` for what is no session description; sections of unknown kinds are kept, to be refused by name.
 */
export function parseSdp(bytes: Buffer): Result<SessionDescription, MediaProblem> {
  if (bytes.length > MAX_BYTES) return invalid('the session description is larger than 64 kB');
  const lines = bytes.toString('latin1').split(/\r\n|\n|\r/);
  if (lines.length > MAX_LINES) return invalid('the session description has more than 1000 lines');
  if (lines[0] !== 'v=0') return invalid('the session description does not begin with v=0');
  const wanted = lines.filter((line) => line.length <= MAX_LINE && WANTED.test(line));
  const mediaLines: MediaLine[] = [];
  for (const line of wanted) {
    if (!line.startsWith('m=')) continue;
    const media = readMediaLine(line);
    if (media === undefined) return invalid(`malformed media line: ${line.slice(0, 80)}`);
    mediaLines.push(media);
  }
  if (mediaLines.length > MAX_SECTIONS) return invalid('more than 32 media sections');
  const session = parse(wanted.join('\r\n'));
  const { origin } = session;
  if (origin === undefined) return invalid('no origin line, or a malformed one');
  const sections: MediaSection[] = [];
  for (const [index, media] of session.media.entries()) {
    const line = mediaLines[index] as MediaLine;
    const address = connectionAddress(media.connection ?? session.connection);
    if (line.port > 0 && line.kind === 'audio' && address === undefined)
      return invalid('the audio section has no numeric connection address');
    sections.push(sectionOf(line, media, address, session.direction));
  }
  return ok({
    origin: {
      username: String(origin.username),
      sessionId: String(origin.sessionId),
      sessionVersion: String(origin.sessionVersion),
      address: String(origin.address),
    },
    sections,
  });
}

const readMediaLine = (line: string): MediaLine | undefined => {
  const match = MEDIA_LINE.exec(line);
  if (match === null) return undefined;
  const [, kind = '', port = '', protocol = '', formats = ''] = match;
  return Number(port) > 65_535 ? undefined : { kind, port: Number(port), protocol, formats: formats.trim() };
};

const connectionAddress = (connection: { ip: unknown } | undefined): string | undefined => {
  // A multicast address has a TTL behind a slash; it is refused like any other that is not plain.
  const address = connection === undefined ? '' : String(connection.ip);
  return addressFamily(address) === 0 ? undefined : address;
};

const sectionOf = (
  line: MediaLine,
  media: MediaDescription,
  address: string | undefined,
  sessionDirection: Direction | undefined,
): MediaSection => ({
  ...line,
  address,
  direction: media.direction ?? sessionDirection ?? 'sendrecv',
  ptimeMs: milliseconds(media.ptime),
  maxptimeMs: milliseconds(media.maxptime),
  rtcp: rtcpOf(media),
  crypto: cryptoOf(media),
  audio: line.kind === 'audio' && line.protocol.includes('RTP/') ? audioFormats(line.formats, media) : [],
});

const milliseconds = (value: unknown): number | undefined => {
  const number = Number(value);
  return value !== undefined && number > 0 && number <= 1000 ? number : undefined;
};

/** RFC 3605. */
const rtcpOf = (media: MediaDescription): MediaSection['rtcp'] => {
  const port = Number(media.rtcp?.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const address = media.rtcp?.address;
  return { port, address: typeof address === 'string' && addressFamily(address) !== 0 ? address : undefined };
};

/** Lines that are not understood are left out: another one of the offer may do (RFC 4568 §5.1.2). */
const cryptoOf = (media: MediaDescription): readonly SdesCrypto[] => {
  const list: SdesCrypto[] = [];
  for (const { id, suite, config, sessionConfig } of media.crypto ?? []) {
    const line = parseCrypto(`${id} ${suite} ${config} ${sessionConfig ?? ''}`);
    if (line !== undefined) list.push(line);
  }
  return list;
};

const audioFormats = (formats: string, media: MediaDescription): readonly AudioFormat[] => {
  const maps = new Map(media.rtp.map((entry) => [entry.payload, entry]));
  const parameters = new Map(media.fmtp.map((entry) => [entry.payload, String(entry.config)]));
  const list: AudioFormat[] = [];
  const seen = new Set<number>();
  for (const text of formats.split(/ +/, MAX_FORMATS)) {
    const payloadType = /^\d{1,3}$/.test(text) ? Number(text) : 128;
    if (payloadType > 127 || seen.has(payloadType)) continue;
    seen.add(payloadType);
    const map = maps.get(payloadType);
    const known = STATIC.get(payloadType);
    const encoding = map === undefined ? known?.[0] : String(map.codec).toUpperCase();
    if (encoding === undefined) continue;
    list.push({
      payloadType,
      encoding,
      clockRate: map === undefined ? (known?.[1] ?? 0) : Number(map.rate ?? 0),
      channels: Number(map?.encoding ?? 1),
      fmtp: parameters.get(payloadType) ?? '',
    });
  }
  return list;
};
