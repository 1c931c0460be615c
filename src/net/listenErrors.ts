import { type SocketAddress, TandemError } from '../kernel/index.js';
import { errorCode, printEndpoint } from './addresses.js';

interface Explanation {
  readonly code: string;
  readonly why: string;
  readonly remedy: (local: SocketAddress) => string;
  readonly retryable: boolean;
}

const CHOOSE = 'choose an address of this machine ("ip addr" lists them), 127.0.0.1, 0.0.0.0 or ::';

const EXPLANATIONS: Record<string, Explanation> = {
  EADDRINUSE: {
    code: 'address_in_use',
    why: 'another socket has this address and port',
    remedy: (local) => `stop the other program ("ss -lntup sport = :${local.port}" names it) or choose another port`,
    retryable: true,
  },
  EADDRNOTAVAIL: {
    code: 'address_not_available',
    why: 'no network interface has this address',
    remedy: () => CHOOSE,
    retryable: true,
  },
  EACCES: {
    code: 'address_not_permitted',
    why: 'this user may not open the port',
    remedy: () => 'choose a port above 1023 or grant CAP_NET_BIND_SERVICE',
    retryable: false,
  },
  EAFNOSUPPORT: {
    code: 'address_family_not_supported',
    why: 'this machine has no such address family',
    remedy: () => 'enable IPv6 or listen on an IPv4 address',
    retryable: false,
  },
  EINVAL: {
    code: 'address_invalid',
    why: 'this is not a numeric IP address with a port of 0 to 65535',
    remedy: () => CHOOSE,
    retryable: false,
  },
};

const ALIASES: Record<string, string> = { EPERM: 'EACCES', ERR_SOCKET_BAD_PORT: 'EINVAL', ENOTFOUND: 'EINVAL' };

/** The error of a failed bind or listen: says which address, why, and what to do about it. */
export const listenError = (scheme: string, local: SocketAddress, cause: unknown): TandemError => {
  const errno = errorCode(cause, 'UNKNOWN');
  const known = EXPLANATIONS[ALIASES[errno] ?? errno];
  const where = printEndpoint(scheme, local);
  if (known === undefined) {
    return new TandemError({ code: 'listen_failed', message: `cannot listen on ${where}: ${errno}`, cause });
  }
  return new TandemError({
    code: known.code,
    message: `cannot listen on ${where}: ${known.why} (${errno}); ${known.remedy(local)}`,
    retryable: known.retryable,
    cause,
  });
};
