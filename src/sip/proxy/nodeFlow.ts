/** Flows to other nodes of a cluster, by whose connections contacts are reached. */
import { isNumericHost, nextHopOfText } from '../locate/nextHop.js';
import { parseNameAddr } from '../message/nameAddr.js';
import { TO_NODE } from '../transport/flows.js';

/**
 * Names the way to the node that has made a route (`IncomingRequest.nodeRoute`), for `RequestSpec.flow`.
 * @returns undefined when the route names no place
 */
export const flowToNode = (route: string): string | undefined => {
  const uri = parseNameAddr(route)?.uri;
  const next = uri === undefined ? undefined : nextHopOfText(uri);
  if (next === undefined || !isNumericHost(next.host)) return undefined;
  return `${TO_NODE}${next.transport}>${next.host}:${next.port}`;
};
