/** Which of the answers that targets gave goes back to the caller: RFC 3261 §16.7 steps 6 and 7. Pure. */
import { SipResponse } from '../message/message.js';

/** Step 6: answers that tell the caller how to send the request anew come first. */
const TELLING: ReadonlySet<number> = new Set([401, 407, 415, 420, 484]);

/** Within 4xx: smaller is better. A timeout says least of all. */
const rankOf4xx = (status: number, withdrawn: boolean): number => {
  if (withdrawn && status === 487) return 0;
  if (TELLING.has(status)) return 1;
  return status === 408 ? 3 : 2;
};

/**
 * @param candidates final answers other than 2xx, in the order in which they came
 * @param withdrawn the caller has cancelled: 487 tells it what it wants to hear
 * @returns one of the candidates; undefined when there is none
 */
export const bestOf = (candidates: readonly SipResponse[], withdrawn: boolean): SipResponse | undefined => {
  let best: SipResponse | undefined;
  let bestRank = Infinity;
  for (const candidate of candidates) {
    const { status } = candidate;
    const hundreds = Math.floor(status / 100);
    // 6xx before all, then the lowest class; the first that came, where nothing else decides.
    const rank = (hundreds === 6 ? 0 : hundreds) * 10 + (hundreds === 4 ? rankOf4xx(status, withdrawn) : 0);
    if (rank < bestRank) {
      best = candidate;
      bestRank = rank;
    }
  }
  return best;
};

const CHALLENGES = ['WWW-Authenticate', 'Proxy-Authenticate'] as const;

/** Step 7: a challenge carries those of all targets, so that the caller can answer them together. */
export const gatherChallenges = (best: SipResponse, candidates: readonly SipResponse[]): void => {
  if (best.status !== 401 && best.status !== 407) return;
  for (const other of candidates) {
    if (other === best || (other.status !== 401 && other.status !== 407)) continue;
    for (const name of CHALLENGES) for (const value of other.headerAll(name)) best.add(name, value);
  }
};

/** Step 6: 503 speaks of one server; whoever is further up must not conclude that we are unavailable. */
export const soften = (response: SipResponse): SipResponse => {
  if (response.status !== 503) return response;
  const softened = new SipResponse(500);
  response.eachField((name, value) => {
    if (name !== 'Retry-After') softened.add(name, value);
  });
  softened.body = response.body;
  return softened;
};
