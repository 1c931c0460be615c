/**
 * Lets the audio of two bridged legs flow directly between their ends: RFC 3725 §4.4 with both legs up. The caller is
 * asked for an offer, the callee for its answer. Where an end refuses, the media plane answers instead and all stays.
 */
import type { Leg, ReinviteOutcome, SignalMessage } from '../../../signal/port.js';
import type { Anchor } from './anchor.js';

const SDP = 'application/sdp';

type Answered = Extract<ReinviteOutcome, { readonly kind: 'answered' }>;

export interface Ends {
  readonly a: Leg;
  readonly b: Leg;
  /** The caller's endpoint: answers the caller's offer where the callee does not. */
  readonly anchor: Anchor;
}

/**
 * @param done exactly once: whether the media are direct now. False, too, when a leg ended meanwhile.
 * @param fault told of exceptions; `done(false)` follows
 */
export function releaseMedia(ends: Ends, done: (direct: boolean) => void, fault: (error: unknown) => void): void {
  const guard = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      fault(error);
      done(false);
    }
  };
  const { a, b, anchor } = ends;
  const keep = async (offered: Answered): Promise<void> => {
    const described = await anchor.answerOffer(offered.message.body);
    offered.ack(described.ok ? { contentType: SDP, body: described.sdp } : {});
    done(false);
  };
  guard(() => {
    a.reinvite({}, (offered) => {
      guard(() => {
        if (offered.kind !== 'answered') return done(false);
        if (!isSdp(offered.message)) {
          offered.ack();
          return done(false);
        }
        b.reinvite({ contentType: SDP, body: offered.message.body }, (answered) => {
          guard(() => {
            if (answered.kind === 'answered') {
              answered.ack();
              if (isSdp(answered.message)) {
                offered.ack({ contentType: SDP, body: answered.message.body });
                return done(true);
              }
            }
            keep(offered).catch((error: unknown) => {
              fault(error);
              done(false);
            });
          });
        });
      });
    });
  });
}

const isSdp = (message: SignalMessage): boolean => message.body.length > 0;
