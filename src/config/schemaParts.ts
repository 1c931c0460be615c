import { type TSchema, Type } from '../kernel/index.js';

/** Forms that sections of the configuration share. */

export const section = <P extends Record<string, TSchema>>(description: string, properties: P) =>
  Type.Object(properties, { description, additionalProperties: false, default: {} });

export const milliseconds = (description: string, value: number, minimum = 1) =>
  Type.Integer({ description, minimum, maximum: 604_800_000, default: value });

export const hostPort = (description: string, extra: object = {}) =>
  Type.String({ description: `${description}, as host:port or [IPv6]:port`, minLength: 3, ...extra });
