/** `sip.headers` of trunks and carriers: what passes between this end and others, and how identities are told here. */
import { Type } from '../../kernel/index.js';

export type Crossing = 'pass' | 'strip';

/** Fields that a trunk or carrier switches as a whole; the rows of `HEADER_RULES` name them. */
export interface HeaderSwitches {
  readonly alert_info?: Crossing;
  readonly call_info?: Crossing;
  readonly geolocation?: Crossing;
  readonly reason?: Crossing;
  /** Identity (RFC 8224) as it came, for ends that verify it, with the Date that it is made for. */
  readonly stir?: Crossing;
  readonly user_to_user?: Crossing;
}

export interface HeaderSettings extends HeaderSwitches {
  /**
   * Within our trust domain (RFC 3325 §2.3): what it asserts of callers is believed, and it is told what callers withhold
   * from others. Default: carriers are, trunks are not.
   */
  readonly trusted?: boolean;
  /** How the caller's identity is told here. */
  readonly identity?: 'none' | 'asserted' | 'preferred' | 'remote_party' | 'both';
  /** How it is told here that a call was sent on. */
  readonly diversion?: 'none' | 'diversion' | 'history_info' | 'both';
  /** Names, or beginnings with `*`, that cross to this end besides those that always do. */
  readonly pass?: readonly string[];
  /** Names, or beginnings with `*`, that cross neither to nor from this end. */
  readonly strip?: readonly string[];
}

const crossing = Type.Optional(Type.Union([Type.Literal('pass'), Type.Literal('strip')]));
const names = Type.Optional(
  Type.Array(Type.String({ pattern: "^[A-Za-z0-9.!%_+`'~-]{1,64}\\*?$", maxLength: 65 }), { maxItems: 64 }),
);

export const HeaderSettingsSchema = Type.Object(
  {
    trusted: Type.Optional(Type.Boolean()),
    identity: Type.Optional(
      Type.Union([
        Type.Literal('none'),
        Type.Literal('asserted'),
        Type.Literal('preferred'),
        Type.Literal('remote_party'),
        Type.Literal('both'),
      ]),
    ),
    diversion: Type.Optional(
      Type.Union([Type.Literal('none'), Type.Literal('diversion'), Type.Literal('history_info'), Type.Literal('both')]),
    ),
    alert_info: crossing,
    call_info: crossing,
    geolocation: crossing,
    reason: crossing,
    stir: crossing,
    user_to_user: crossing,
    pass: names,
    strip: names,
  },
  { additionalProperties: false },
);
