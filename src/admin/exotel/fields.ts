/** Fields of bodies and queries, with the sentence that is told when one is wrong. */
import { Type } from '../../kernel/index.js';

/** Printable, any script; no control characters. */
export const friendlyName = Type.String({
  minLength: 1,
  maxLength: 32,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: 'name for people',
  rule: 'must be 1 to 32 characters without control characters',
});

export const trunkName = Type.String({
  pattern: '^[A-Za-z0-9_]{1,16}$',
  description: 'letters, digits and _, at most 16; one of a kind within the account',
  rule: 'must be alphanumeric with underscores only, max 16 characters',
});

export const nsoCode = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9 _-]{0,63}$',
  description: 'kept and shown, without effect on calls',
  rule: 'must be a network code such as ANY-ANY',
});

export const authType = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$',
  description: 'kept and shown, without effect on calls',
  rule: 'must be a name such as IP-WHITELIST',
});

export const domainName = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$',
  description: 'default: <account_sid>.pstn.<domain>',
  rule: 'must be a domain name',
});

export const PHONE_NUMBER_RULE = 'must be E.164, such as +919876543210';

export const phoneNumber = Type.String({
  pattern: '^\\+[1-9][0-9]{2,14}$',
  description: 'E.164',
  rule: PHONE_NUMBER_RULE,
});

export const numberMode = Type.Unsafe<'pstn' | 'flow' | null>({
  type: 'string',
  enum: ['pstn', 'flow', null],
  nullable: true,
  description: 'pstn: to the destinations of the trunk; flow: a flow answers; absent or null: as pstn',
  rule: 'must be pstn or flow',
});

/** Of flows and carriers. */
export const resourceId = (description: string) =>
  Type.String({ pattern: '^[A-Za-z0-9_.:@-]{1,128}$', description, rule: 'must be an id' });

export const share = (description: string) =>
  Type.Integer({ minimum: 0, maximum: 65_535, description, rule: 'must be an integer from 0 to 65535' });

/** A colon or quote cannot stand in digest credentials (RFC 7616 §3.4). */
export const userName = Type.String({
  pattern: '^[!#-9;-\\[\\]-~]{1,64}$',
  description: 'user name of digest authentication',
  rule: 'must be 1 to 64 printable characters without space, quote, colon or backslash',
});

export const password = Type.String({
  pattern: '^[ -~]{1,128}$',
  description: 'never shown again',
  rule: 'must be 1 to 128 printable ASCII characters',
});

const number = (description: string, pattern: string) =>
  Type.Optional(Type.String({ pattern, description, rule: 'must be a whole number' }));

export const pageFields = {
  page_size: number('entries of a page; default 50, at most 1000', '^[1-9][0-9]{0,5}$'),
  offset: number('entries that come before the page; default 0', '^[0-9]{1,9}$'),
};

/** Id in the query, where the path has none. */
export const idQuery = Type.Object({
  id: Type.Optional(
    Type.String({ minLength: 1, maxLength: 128, description: 'id of the entry', rule: 'must be an id' }),
  ),
});
