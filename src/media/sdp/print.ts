import { write, type MediaAttributes, type MediaDescription } from 'sdp-transform';
import { type SdesCrypto, printCrypto } from '../rtp/srtp.js';
import type { AudioFormat, Direction } from './description.js';
import { addressFamily } from './numericAddress.js';

/** The section that carries our audio. */
export interface LocalAudio {
  readonly port: number;
  readonly protocol: string;
  readonly formats: readonly AudioFormat[];
  readonly direction: Direction;
  readonly ptimeMs: number | undefined;
  readonly crypto: readonly SdesCrypto[];
}

/** A section that we refuse: repeated with port 0 (RFC 3264 §6). */
export interface RefusedSection {
  readonly kind: string;
  readonly protocol: string;
  readonly formats: string;
}

export interface LocalDescription {
  readonly sessionId: string;
  readonly address: string;
  readonly sections: readonly (LocalAudio | RefusedSection)[];
}

/** Prints our session description with the given version of its origin line. */
export function printSdp(local: LocalDescription, version: number): Buffer {
  const ipVer = addressFamily(local.address);
  const text = write({
    version: 0,
    origin: {
      username: '-',
      sessionId: local.sessionId,
      sessionVersion: version,
      netType: 'IN',
      ipVer,
      address: local.address,
    },
    name: '-',
    connection: { version: ipVer, ip: local.address },
    timing: { start: 0, stop: 0 },
    media: local.sections.map(printSection),
  });
  return Buffer.from(text, 'latin1');
}

const printSection = (section: LocalAudio | RefusedSection): MediaDescription => {
  if ('kind' in section)
    return { type: section.kind, port: 0, protocol: section.protocol, payloads: section.formats, rtp: [], fmtp: [] };
  const audio: MediaDescription & MediaAttributes = {
    type: 'audio',
    port: section.port,
    protocol: section.protocol,
    payloads: section.formats.map((format) => format.payloadType).join(' '),
    rtp: section.formats.map(({ payloadType, encoding, clockRate }) => ({
      payload: payloadType,
      codec: encoding === 'TELEPHONE-EVENT' ? 'telephone-event' : encoding,
      rate: clockRate,
    })),
    fmtp: section.formats
      .filter((format) => format.fmtp !== '')
      .map(({ payloadType, fmtp }) => ({ payload: payloadType, config: fmtp })),
    direction: section.direction,
  };
  if (section.ptimeMs !== undefined) audio.ptime = section.ptimeMs;
  if (section.crypto.length > 0)
    audio.crypto = section.crypto.map((crypto) => {
      const [, , config = ''] = printCrypto(crypto).split(' ');
      return { id: crypto.tag, suite: crypto.suite, config };
    });
  return audio;
};
