/** Sound as flows write it, and as effects carry it. */
import { type Static, Type } from '../../kernel/index.js';
import type { FlowSource } from '../flow/effects.js';

const closed = { additionalProperties: false } as const;
const durationMs = Type.Integer({ minimum: 20, maximum: 600_000 });

const SourceSchema = Type.Union([
  Type.Object({ file: Type.String({ minLength: 1, maxLength: 512, description: 'WAV file of the node' }) }, closed),
  Type.Object(
    { url: Type.String({ minLength: 8, maxLength: 2048, description: 'http(s) URL of a WAV file' }) },
    closed,
  ),
  Type.Object(
    {
      tone: Type.Array(Type.Number({ minimum: 20, maximum: 4000 }), { minItems: 1, maxItems: 4, description: 'Hz' }),
      duration_ms: durationMs,
    },
    closed,
  ),
  Type.Object({ silence_ms: durationMs }, closed),
  Type.Object(
    {
      text: Type.String({ minLength: 1, maxLength: 2048, description: 'spoken' }),
      voice: Type.Optional(Type.String({ maxLength: 64 })),
    },
    closed,
  ),
]);

export const SourcesSchema = Type.Array(SourceSchema, { minItems: 1, maxItems: 32 });

type Source = Static<typeof SourceSchema>;

const sourceOf = (source: Source): FlowSource => {
  if ('file' in source) return { kind: 'file', path: source.file };
  if ('url' in source) return { kind: 'url', url: source.url };
  if ('tone' in source) return { kind: 'tone', frequenciesHz: source.tone, durationMs: source.duration_ms };
  if ('silence_ms' in source) return { kind: 'silence', durationMs: source.silence_ms };
  return { kind: 'text', text: source.text, voice: source.voice };
};

export const sourcesOf = (sources: readonly Source[]): FlowSource[] => sources.map(sourceOf);

/** What a source is called in a trace. */
const label = (source: Source): string => {
  if ('file' in source) return source.file;
  if ('url' in source) return source.url.replace(/\?.*$/s, '');
  if ('tone' in source) return `tone ${source.tone.join('+')} Hz`;
  return 'silence_ms' in source ? 'silence' : 'text';
};

export const labelOf = (sources: readonly Source[]): string => sources.map(label).join(', ').slice(0, 256);

/** Longer than any announcement: a player that never reports its end must not keep the call. */
export const PLAY_LIMIT_MS = 900_000;
