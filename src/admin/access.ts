/** Who may use the administration. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Account, ApiKey } from '../call/routing/resources.js';
import { isLoopbackHost, parseHostPort } from '../config/index.js';
import type { AdminDeps } from './deps.js';
import { ApiError, envelope } from './errors.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Account whose key came with the request; undefined on loopback, where none is asked for. */
    accountSid: string | undefined;
  }
  interface FastifyContextConfig {
    /** Served to anybody: probes carry no credentials. */
    readonly open?: boolean;
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** SHA-256 over salt and token: the salt is the key's own, and tokens made here are random, so that one round will do. */
const saltedDigest = (salt: string, token: string): Buffer =>
  createHash('sha256').update(Buffer.from(salt, 'hex')).update(token).digest();

/** Whether a token is that of an API key, kept in clear or as a hash. How long it takes tells nothing of the token. */
export const tokenFits = (pair: Pick<ApiKey, 'token' | 'token_hash'>, token: string): boolean => {
  if (pair.token_hash !== undefined) {
    const [, salt = '', hash = ''] = pair.token_hash.split(':');
    const stored = Buffer.from(hash, 'hex');
    return stored.length === 32 && timingSafeEqual(stored, saltedDigest(salt, token));
  }
  return pair.token !== undefined && timingSafeEqual(digest(pair.token), digest(token));
};

/**
 * Checks keys against accounts, as they are at that moment. The key is a name and compared as one; the token is the
 * secret, and how long its comparison takes tells nothing of it.
 */
export const keyChecker =
  (accounts: () => Iterable<Account>) =>
  (key: string, token: string): string | undefined => {
    let owner: string | undefined;
    for (const account of accounts()) {
      for (const pair of account.api_keys ?? []) {
        if (pair.key === key && tokenFits(pair, token)) owner = account.sid;
      }
    }
    return owner;
  };

/** RFC 7617: user-id up to the first colon. */
const basicCredentials = (header: string | undefined): [string, string] | undefined => {
  const encoded = /^Basic +([A-Za-z0-9+/]{1,1024}={0,2}) *$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1)];
};

const hostOf = (request: FastifyRequest): string => {
  const host = request.headers.host ?? '';
  return parseHostPort(host)?.host ?? host.replace(/^\[|\]$/g, '');
};

/**
 * On loopback everybody on the machine may ask, but not a web page that had its own name resolved to 127.0.0.1: the
 * Host must be a loopback name. Elsewhere an account's key and token are asked for, as HTTP Basic.
 */
export const installAccess = (app: FastifyInstance, deps: AdminDeps): void => {
  const loopback = isLoopbackHost(parseHostPort(deps.config.admin.listen)?.host ?? '');
  app.decorateRequest('accountSid', undefined);
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.open === true) return;
    if (loopback) return checkHost(request);
    const credentials = basicCredentials(request.headers.authorization);
    request.accountSid = credentials && deps.authenticate(...credentials);
    if (request.accountSid !== undefined) return;
    const fault = {
      status: 401,
      code: credentials === undefined ? 'credentials_missing' : 'credentials_wrong',
      message: 'an account key and token are needed here',
      remedy: "send HTTP Basic with an account's api key and token",
    };
    await reply.code(401).header('www-authenticate', 'Basic realm="tandem", charset="UTF-8"').send(envelope(fault));
  });
};

const checkHost = (request: FastifyRequest): void => {
  const host = hostOf(request);
  if (isLoopbackHost(host)) return;
  throw new ApiError({
    status: 403,
    code: 'host_not_allowed',
    message: `"${host.slice(0, 100)}" is not a name of this machine's loopback address`,
    remedy: 'ask for http://127.0.0.1 or http://localhost',
  });
};
