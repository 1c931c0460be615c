/** Who may use the administration. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Account, ApiKey } from '../call/routing/resources.js';
import { isLoopbackHost, parseHostPort } from '../config/index.js';
import { Attempts } from './attempts.js';
import type { AdminDeps } from './deps.js';
import { ApiError } from './errors.js';
import { LOCAL_OPERATOR, NOBODY, type Principal, type Scope, hasScope, principalOf } from './principal.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Served to anybody: probes carry no credentials. */
    readonly open?: boolean;
    /** Least scope of a key; default: `read` for GET and HEAD, `write` for all else. */
    readonly scope?: Scope;
    /** Of the whole node: for operators only. */
    readonly operator?: boolean;
  }
}

/** Clients of these bring credentials also on loopback: they are other programs' APIs, and name the account. */
const ALWAYS_WITH_KEY = /^\/v[12](\/|$)/;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** SHA-256 over salt and token: the salt is the key's own, and tokens made here are random, so that one round will do. */
const saltedDigest = (salt: string, token: string): Buffer =>
  createHash('sha256').update(Buffer.from(salt, 'hex')).update(token).digest();

/** Whether a token is that of an API key, kept in clear or as a hash. How long it takes tells nothing of the token. */
const tokenFits = (pair: Pick<ApiKey, 'token' | 'token_hash'>, token: string): boolean => {
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
 * @param operators accounts whose `admin` keys see the whole node
 */
export const keyChecker =
  (accounts: () => Iterable<Account>, operators: readonly string[] = []) =>
  (key: string, token: string): Principal | undefined => {
    let found: Principal | undefined;
    for (const account of accounts()) {
      for (const pair of account.api_keys ?? []) {
        if (pair.key === key && tokenFits(pair, token)) found = principalOf(account, pair, operators);
      }
    }
    return found;
  };

/** RFC 7617: user-id up to the first colon. As a bearer token the same text goes without encoding. */
const credentialsOf = (header: string | undefined): [string, string] | undefined => {
  const bearer = /^Bearer +([^\s]{1,1024}) *$/i.exec(header ?? '')?.[1];
  const encoded = /^Basic +([A-Za-z0-9+/]{1,1024}={0,2}) *$/i.exec(header ?? '')?.[1];
  const text = bearer ?? (encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8'));
  const colon = text?.indexOf(':') ?? -1;
  return text === undefined || colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1)];
};

const hostOf = (request: FastifyRequest): string => {
  const host = request.headers.host ?? '';
  return parseHostPort(host)?.host ?? host.replace(/^\[|\]$/g, '');
};

/**
 * On loopback everybody on the machine may ask, but not a web page that had its own name resolved to 127.0.0.1: the
 * Host must be a loopback name. Elsewhere, and for the APIs that other programs speak, an account's key and token are
 * asked for. Faults are thrown, so that each API answers in its own envelope.
 */
export const installAccess = (app: FastifyInstance, deps: AdminDeps): void => {
  const loopback = isLoopbackHost(parseHostPort(deps.config.admin.listen)?.host ?? '');
  const attempts = new Attempts(deps.clock);
  app.decorateRequest('principal', null as unknown as Principal);
  app.addHook('onRequest', async (request) => {
    request.principal = NOBODY;
    if (request.routeOptions.config.open === true) return;
    if (loopback) checkHost(request);
    checkOrigin(request);
    request.principal = loopback && needsNoKey(request) ? LOCAL_OPERATOR : identify(request, deps, attempts);
    authorise(request);
  });
};

/** On loopback credentials are not needed, but those that come are heeded: their account is what the client means. */
const needsNoKey = ({ headers, url }: FastifyRequest): boolean =>
  headers.authorization === undefined && !ALWAYS_WITH_KEY.test(url);

const identify = (request: FastifyRequest, deps: AdminDeps, attempts: Attempts): Principal => {
  const credentials = credentialsOf(request.headers.authorization);
  const waitSeconds = credentials && attempts.blockedSeconds(request.ip);
  if (waitSeconds !== undefined) {
    throw new ApiError(
      {
        status: 429,
        code: 'too_many_attempts',
        message: 'too many wrong credentials came from this address',
        remedy: `wait ${waitSeconds} s`,
      },
      { 'retry-after': String(waitSeconds) },
    );
  }
  const principal = credentials && deps.authenticate(...credentials);
  if (principal !== undefined) return principal;
  if (credentials !== undefined) attempts.failed(request.ip);
  throw new ApiError(
    {
      status: 401,
      code: credentials === undefined ? 'credentials_missing' : 'credentials_wrong',
      message: 'an account key and token are needed here',
      remedy: "send HTTP Basic with an account's api key and token",
    },
    { 'www-authenticate': 'Basic realm="tandem", charset="UTF-8"' },
  );
};

const authorise = (request: FastifyRequest): void => {
  const { principal, method } = request;
  const { operator, scope = method === 'GET' || method === 'HEAD' ? 'read' : 'write' } = request.routeOptions.config;
  if (operator === true && !principal.operator) {
    throw new ApiError({
      status: 403,
      code: 'operator_only',
      message: 'this shows the whole node, and is for its operators',
      remedy: 'use an admin key of an account that admin.operators names',
    });
  }
  if (hasScope(principal, scope)) return;
  throw new ApiError({
    status: 403,
    code: 'scope_missing',
    message: `this needs a key of scope ${scope}; the key has ${principal.scope}`,
    remedy: `use a key of scope ${scope}`,
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

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/**
 * A browser sends what it knows - the address on loopback, Basic credentials elsewhere - on behalf of any page. Changes
 * are taken from pages of this very origin only; clients that are no browsers send no Origin.
 */
const checkOrigin = ({ method, headers }: FastifyRequest): void => {
  const { origin } = headers;
  if (SAFE_METHODS.includes(method) || (origin === undefined && headers['sec-fetch-site'] === undefined)) return;
  const site = headers['sec-fetch-site'] ?? 'same-origin';
  const own = origin === undefined || origin.replace(/^https?:\/\//, '') === headers.host;
  if (own && (site === 'same-origin' || site === 'none')) return;
  throw new ApiError({
    status: 403,
    code: 'origin_not_allowed',
    message: 'a web page of another origin may not change anything here',
    remedy: 'ask from a page of this server, or without a browser',
  });
};
