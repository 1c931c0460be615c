/** JSON Schema of `sip` in trunks and carriers; what the keys mean: `SipSettings` in `resources.ts`. */
import { Type } from 'typebox';

const closed = { additionalProperties: false } as const;

export const SipSettingsSchema = Type.Object(
  {
    reliable_provisionals: Type.Optional(
      Type.Union([Type.Literal('relay'), Type.Literal('terminate'), Type.Literal('off')]),
    ),
  },
  closed,
);
