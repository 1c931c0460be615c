import ipaddr from 'ipaddr.js';

/**
 * Which numeric addresses a bot's socket may go to (S15): public ones, and those inside the given networks.
 * @param networks CIDRs; `*` permits every address. Malformed ones permit nothing.
 */
export function egressPolicy(networks: readonly string[]): (address: string) => boolean {
  if (networks.includes('*')) return () => true;
  const permitted = networks
    .filter((network) => ipaddr.isValidCIDR(network))
    .map((network) => ipaddr.parseCIDR(network));
  return (text) => {
    if (!ipaddr.isValid(text)) return false;
    // ::ffff:10.0.0.1 is 10.0.0.1, whatever a resolver makes of it.
    const address = ipaddr.process(text);
    if (address.range() === 'unicast') return true;
    return permitted.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
  };
}
