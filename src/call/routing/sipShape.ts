/** JSON Schema of `sip` in trunks and carriers; what the keys mean: `SipSettings` in `resources.ts`. */
import { Type } from '../../kernel/index.js';
import { HeaderSettingsSchema } from './headerSettings.js';

const closed = { additionalProperties: false } as const;

export const SipSettingsSchema = Type.Object(
  {
    reliable_provisionals: Type.Optional(
      Type.Union([Type.Literal('relay'), Type.Literal('terminate'), Type.Literal('off')]),
    ),
    session_timer: Type.Optional(
      Type.Object(
        {
          mode: Type.Optional(Type.Union([Type.Literal('relay'), Type.Literal('terminate'), Type.Literal('off')])),
          expires: Type.Optional(Type.Integer({ minimum: 90, maximum: 86_400, description: 'seconds' })),
          min_se: Type.Optional(Type.Integer({ minimum: 90, maximum: 86_400, description: 'seconds' })),
          refresher: Type.Optional(Type.Union([Type.Literal('local'), Type.Literal('remote')])),
        },
        closed,
      ),
    ),
    refer: Type.Optional(Type.Union([Type.Literal('relay'), Type.Literal('terminate'), Type.Literal('off')])),
    redirects: Type.Optional(Type.Union([Type.Literal('follow'), Type.Literal('map')])),
    redirect_hosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9_.:\\[\\]-]+$' }), { maxItems: 32 }),
    ),
    headers: Type.Optional(HeaderSettingsSchema),
    nat: Type.Optional(Type.Boolean()),
    next_hop: Type.Optional(Type.String({ minLength: 5, maxLength: 300, pattern: '^sips?:[^\\s@?]+$' })),
  },
  closed,
);
