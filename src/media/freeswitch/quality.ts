import type { MediaQuality } from '../port.js';

/**
 * A channel's counters as a leg's quality. FreeSWITCH counts no late and no rejected packets and measures no round
 * trip; of losses it knows the share alone, of jitter the highest variance of the intervals (ms squared), and it
 * estimates the MOS of what it has received by its own rule.
 */
export const qualityOf = (variables: ReadonlyMap<string, string>): MediaQuality => {
  const number = (name: string): number => {
    const value = Number(variables.get(`variable_rtp_audio_${name}`));
    return Number.isFinite(value) ? value : 0;
  };
  const received = number('in_packet_count');
  const lostPercent = Math.min(100, Math.max(0, number('in_jitter_loss_rate')));
  return {
    packetsReceived: received,
    packetsSent: number('out_packet_count'),
    packetsLost: lostPercent >= 100 ? 0 : Math.round((received * lostPercent) / (100 - lostPercent)),
    packetsLate: 0,
    packetsRejected: 0,
    jitterMs: rounded(Math.sqrt(Math.max(0, number('in_jitter_max_variance')))),
    roundTripMs: null,
    mos: received === 0 ? 1 : rounded(Math.min(5, Math.max(1, number('in_mos')))),
    codec: variables.get('variable_rtp_use_codec_name') ?? '',
  };
};

const rounded = (value: number): number => Math.round(value * 100) / 100;
