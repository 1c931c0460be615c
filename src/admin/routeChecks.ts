/** What requests must be, by the schemas of their routes; each schema is compiled with the first request that meets it. */
import type { FastifyServerOptions } from 'fastify';
import { newAddressWords, parseAddress, parseIpv4 } from '../call/routing/ipAddress.js';
import { type SchemaCheck, type TSchema, schemaChecks } from '../kernel/index.js';

const words = newAddressWords();

const checks = schemaChecks({
  // What a schema does not know is an error to tell, not something to drop or bend in silence.
  allErrors: true,
  useDefaults: true,
  formats: {
    ipv4: (text: string) => parseIpv4(text) >= 0,
    ipv6: (text: string) => text.includes(':') && !text.includes('%') && parseAddress(text, words),
  },
});

/** For `schemaController` of Fastify. Without these it loads compilers of its own, and compiles every route at start. */
export const compilersFactory = {
  buildValidator:
    () =>
    ({ schema }: { readonly schema: TSchema }): SchemaCheck =>
      checks(schema),
  buildSerializer: () => () => (data: unknown) => JSON.stringify(data),
  // Fastify says it would be given an instance of Ajv's; it asks for no more than what is above.
} as unknown as NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>;
