import { type Result, err, ok } from '../../kernel/index.js';
import type { MediaProblem } from '../port.js';
import { type MediaSection, type NegotiatedAudio, sdpProblem } from './description.js';
import {
  type Capabilities,
  answerSection,
  isDtlsAudio,
  isRtpAudio,
  offeredFormats,
  offeredSecurity,
  settleAnswer,
} from './negotiate.js';
import { parseSdp } from './parse.js';
import { PayloadTypes } from './payloadTypes.js';
import { type LocalAudio, type RefusedSection, printSdp } from './print.js';

export interface Answered {
  readonly sdp: Buffer;
  readonly negotiated: NegotiatedAudio;
}

/**
 * One end's view of a session's descriptions over its life: who we are in the origin line, which sections exist, what
 * was said last. An exchange that fails leaves everything as it was (RFC 3264 §8).
 */
export class SdpSession {
  readonly #own: Capabilities;
  readonly #sessionId: string;
  #version = 0;
  #lastBody: Buffer | undefined;
  /** Sections never go away, they only fall to port 0 (RFC 3264 §8). */
  #sections: readonly RefusedSection[] = [];
  #audioIndex = 0;
  readonly #types: PayloadTypes;
  #offering = false;
  #sdp: Buffer | undefined;

  /** @param sessionId decimal, unique among our sessions. */
  constructor(own: Capabilities, sessionId: string) {
    this.#own = own;
    this.#sessionId = sessionId;
    this.#types = new PayloadTypes(own.dtmfPayloadType);
  }

  /** Our last description; undefined before the first one. */
  get sdp(): Buffer | undefined {
    return this.#sdp;
  }

  answerOffer(bytes: Buffer): Result<Answered, MediaProblem> {
    const parsed = parseSdp(bytes);
    if (!parsed.ok) return parsed;
    const { sections } = parsed.value;
    let problem = sdpProblem('no_common_codec', 'the offer has no usable audio section');
    for (const [index, section] of sections.entries()) {
      if (isDtlsAudio(section)) problem = sdpProblem('srtp_not_supported', 'keys by DTLS are not supported');
      if (!isRtpAudio(section)) continue;
      const answered = answerSection(section, this.#own);
      if (!answered.ok) {
        problem = answered.error;
        continue;
      }
      const { negotiated, formats, direction, crypto } = answered.value;
      this.#remember(sections, index);
      this.#types.learn(section.audio);
      this.#offering = false;
      const { port } = this.#own;
      const ptimeMs = this.#own.ptimeMs ?? section.ptimeMs;
      return ok({
        sdp: this.#print({ port, protocol: section.protocol, formats, direction, ptimeMs, crypto }),
        negotiated,
      });
    }
    return err(problem);
  }

  makeOffer(): Buffer {
    const own = this.#own;
    this.#offering = true;
    const formats = offeredFormats(own, this.#types);
    return this.#print({
      port: own.port,
      formats,
      direction: 'sendrecv',
      ptimeMs: own.ptimeMs ?? 20,
      ...offeredSecurity(own),
    });
  }

  /** The peer's answer to the last offer of `makeOffer`: one in a provisional response may be followed by another. */
  acceptAnswer(bytes: Buffer): Result<NegotiatedAudio, MediaProblem> {
    const parsed = parseSdp(bytes);
    if (!parsed.ok) return parsed;
    const { sections } = parsed.value;
    if (!this.#offering) return err(sdpProblem('sdp_invalid', 'an answer without an offer'));
    const section = sections[this.#audioIndex];
    // RFC 3264 §6: as many sections as the offer, in its order. More than that would be an offer of its own.
    if (section === undefined || section.kind !== 'audio' || sections.length !== Math.max(1, this.#sections.length))
      return err(sdpProblem('sdp_invalid', 'the answer does not match the sections of the offer'));
    const settled = settleAnswer(section, this.#own, this.#types);
    if (!settled.ok) return settled;
    this.#remember(sections, this.#audioIndex);
    return settled;
  }

  #remember(sections: readonly MediaSection[], audioIndex: number): void {
    this.#sections = sections.map(({ kind, protocol, formats }) => ({ kind, protocol, formats }));
    this.#audioIndex = audioIndex;
  }

  #print(audio: LocalAudio): Buffer {
    const sections: (LocalAudio | RefusedSection)[] = [...this.#sections];
    sections[this.#audioIndex] = audio;
    const local = { sessionId: this.#sessionId, address: this.#own.address, sections };
    const body = printSdp(local, 0);
    // RFC 3264 §8: the version goes up by one when the description differs from the last one, and only then.
    if (this.#lastBody === undefined || !this.#lastBody.equals(body)) this.#version++;
    this.#lastBody = body;
    this.#sdp = printSdp(local, this.#version);
    return this.#sdp;
  }
}
