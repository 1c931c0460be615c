import type { Random, Result } from '../../kernel/index.js';
import { err, ok } from '../../kernel/index.js';
import type { EndpointSpec, MediaProblem } from '../port.js';
import { newCrypto } from '../rtp/srtp.js';
import { type AudioFormat, type NegotiatedAudio, sdpProblem } from '../sdp/description.js';
import { isUnicast, isUnspecified } from '../sdp/numericAddress.js';
import { parseSdp } from '../sdp/parse.js';
import { printSdp } from '../sdp/print.js';
import { SdpSession } from '../sdp/session.js';

/** Where the media server takes this leg's audio. */
interface Place {
  address: string;
  port: number;
}

/**
 * The descriptions of one leg. The peer talks to us: what it offers is negotiated here, by the rules of the embedded
 * engine, and the media server is offered only what came of that, one codec and the keys. It gives its address and
 * port, which go into what the peer is told.
 */
export class LegDescription {
  readonly #own: ConstructorParameters<typeof SdpSession>[0] & Place;
  readonly #session: SdpSession;
  #version = 0;
  #lastTold = '';

  constructor(spec: EndpointSpec, random: Random) {
    this.#own = {
      // Media servers' SIP profiles are IPv4 (fsmrf knows no others by name).
      address: '0.0.0.0',
      port: 9,
      codecs: spec.codecs?.filter((codec) => codec !== 'opus'),
      dtmfPayloadType: spec.dtmfPayloadType ?? 101,
      ptimeMs: spec.ptimeMs,
      // fsmrf takes no description with SRTP in it.
      srtp: spec.srtp === 'mandatory' ? 'mandatory' : 'off',
      keyFor: (tag, suite) => newCrypto(tag, suite, random),
    };
    this.#session = new SdpSession(this.#own, String(parseInt(random.hex(6), 16) + 1));
  }

  /** What the peer's offer comes to; nothing is remembered. */
  tryOffer(offer: Buffer): Result<NegotiatedAudio, MediaProblem> {
    const tried = new SdpSession(this.#own, '1').answerOffer(offer);
    if (!tried.ok) return tried;
    if (tried.value.negotiated.crypto !== undefined) return err(NO_SRTP);
    return ok(tried.value.negotiated);
  }

  /** Our answer to an offer that the media server has taken. */
  answerOffer(offer: Buffer): Result<Buffer, MediaProblem> {
    const answered = this.#session.answerOffer(offer);
    return answered.ok ? ok(answered.value.sdp) : answered;
  }

  /** @returns why no offer of ours can be made */
  tryMakeOffer(): MediaProblem | undefined {
    return this.#own.srtp === 'mandatory' ? NO_SRTP : undefined;
  }

  makeOffer(): Result<Buffer, MediaProblem> {
    return ok(this.#session.makeOffer());
  }

  acceptAnswer(answer: Buffer): Result<NegotiatedAudio, MediaProblem> {
    return this.#session.acceptAnswer(answer);
  }

  /** Our last description. */
  get sdp(): Buffer {
    return this.#session.sdp ?? Buffer.alloc(0);
  }

  /** The peer, as the media server is told of it; undefined when it has been told just that. */
  forServer(negotiated: NegotiatedAudio): string | undefined {
    const { codec, clockRate, payloadType, sendEvents, sends, receives } = negotiated;
    const formats: AudioFormat[] = [{ payloadType, encoding: codec, clockRate, channels: 1, fmtp: '' }];
    if (sendEvents !== undefined) formats.push({ ...EVENTS, clockRate, payloadType: sendEvents });
    // Where it shall not send to, the address of nobody would be a hold of its own kind (RFC 3264 §8.4).
    const direction = receives ? (sends ? 'sendrecv' : 'sendonly') : sends ? 'recvonly' : 'inactive';
    const local = {
      sessionId: '1',
      address: negotiated.remoteAddress,
      sections: [
        {
          port: negotiated.remotePort,
          protocol: 'RTP/AVP',
          formats,
          direction,
          ptimeMs: negotiated.packetMs,
          crypto: [],
        },
      ],
    } as const;
    const body = printSdp(local, 0).toString('latin1');
    if (body === this.#lastTold) return undefined;
    this.#lastTold = body;
    return printSdp(local, ++this.#version).toString('latin1');
  }

  /** The media server has refused what `forServer` gave: tell it again next time. */
  forget(): void {
    this.#lastTold = '';
  }

  /** Reads where the media server is. @returns what is wrong with its description */
  locate(serverSdp: string, negotiated: NegotiatedAudio | undefined): MediaProblem | undefined {
    const parsed = parseSdp(Buffer.from(serverSdp, 'latin1'));
    const section = parsed.ok
      ? parsed.value.sections.find(({ kind, port }) => kind === 'audio' && port > 0)
      : undefined;
    const address = section?.address ?? '';
    if (section === undefined || !isUnicast(address) || isUnspecified(address)) {
      return sdpProblem('engine_down', 'the media server gave no place for audio');
    }
    if (negotiated !== undefined && section.audio[0]?.encoding !== negotiated.codec) {
      return sdpProblem('no_common_codec', `the media server does not speak ${negotiated.codec}`);
    }
    this.#own.address = address;
    this.#own.port = section.port;
    return undefined;
  }
}

const EVENTS = { encoding: 'TELEPHONE-EVENT', channels: 1, fmtp: '0-15' };
const NO_SRTP = sdpProblem('srtp_not_supported', 'SRTP is not served through drachtio-fsmrf');
