import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type SocketAddress, hostPort } from '../kernel/index.js';

/** 'udp://127.0.0.1:5060', 'tcp://[::1]:5060': for people. */
export const printEndpoint = (scheme: string, at: SocketAddress): string => `${scheme}://${printAddress(at)}`;

/** '127.0.0.1:5060', '[::1]:5060': for keys and traces. */
export const printAddress = (at: SocketAddress): string => hostPort(at.address, at.port);

export const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';

/** The addresses of this machine, those of loopback included. */
export const interfaceAddresses = (family: 4 | 6): string[] =>
  Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter((each) => each.family === `IPv${family}`)
    .map((each) => each.address);

export const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');

/** The numeric address a host text stands for (brackets of IPv6 removed), or undefined when it is a name. */
export const numericAddress = (host: string): string | undefined => {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  return isIP(bare) === 0 ? undefined : bare;
};

/**
 * A `lookup` for sockets that are only ever given numeric addresses: answers within the call, so that binding,
 * connecting and sending do not take the detour through the resolver's thread pool. Text that is no address fails
 * later, in the system call, with EINVAL.
 */
export const answerAtOnce = (
  address: string,
  _options: unknown,
  answer: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void => {
  answer(null, address, address.includes(':') ? 6 : 4);
};

/** `code` of a system error, `fallback` for anything else. */
export const errorCode = (error: unknown, fallback: string): string => {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : fallback;
};
