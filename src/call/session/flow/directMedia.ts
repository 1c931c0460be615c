/**
 * Lets the audio of two bridged legs flow directly between their ends: RFC 3725 §4.4 with both legs up. The caller is
 * asked for an offer, the callee for its answer. Where an end refuses, the media plane answers instead and all stays.
 */
import type { Leg, ReinviteOutcome, SignalMessage } from '../../../signal/port.js';
import type { Anchor } from './anchor.js';
import { isGlare } from './glare.js';

const SDP = 'application/sdp';

type Answered = Extract<ReinviteOutcome, { readonly kind: 'answered' }>;

export interface Ends {
  readonly a: Leg;
  readonly b: Leg;
  /** The caller's endpoint: answers the caller's offer where the callee does not. */
  readonly anchor: Anchor;
}

/** Latest descriptions of the ends. */
export interface Described {
  readonly a: Buffer;
  readonly b: Buffer;
}

/** `glare_a`, `glare_b`: nothing has changed, since that end has an offer of its own on the way (491). */
export type Released = 'direct' | 'refused' | 'glare_a' | 'glare_b';

/**
 * @param done exactly once: whether the media are direct now, and by which descriptions of `a` and `b`. `refused`, too,
 * when a leg ended meanwhile.
 * @param fault told of exceptions; `done('refused')` follows
 */
export function releaseMedia(
  ends: Ends,
  done: (released: Released, described?: Described) => void,
  fault: (error: unknown) => void,
): void {
  const guard = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      fault(error);
      done('refused');
    }
  };
  const { a, b, anchor } = ends;
  const keep = async (offered: Answered, released: Released): Promise<void> => {
    const described = await anchor.answerOffer(offered.message.body);
    offered.ack(described.ok ? { contentType: SDP, body: described.sdp } : {});
    done(released);
  };
  guard(() => {
    a.reinvite({}, (offered) => {
      guard(() => {
        if (offered.kind !== 'answered') return done(isGlare(offered) ? 'glare_a' : 'refused');
        if (!isSdp(offered.message)) {
          offered.ack();
          return done('refused');
        }
        b.reinvite({ contentType: SDP, body: offered.message.body }, (answered) => {
          guard(() => {
            if (answered.kind === 'answered') {
              answered.ack();
              if (isSdp(answered.message)) {
                offered.ack({ contentType: SDP, body: answered.message.body });
                return done('direct', { a: offered.message.body, b: answered.message.body });
              }
            }
            keep(offered, isGlare(answered) ? 'glare_b' : 'refused').catch((error: unknown) => {
              fault(error);
              done('refused');
            });
          });
        });
      });
    });
  });
}

const isSdp = (message: SignalMessage): boolean => message.body.length > 0;
