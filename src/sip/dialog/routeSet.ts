import type { SipRequest, SipResponse } from '../message/message.js';
import { parseNameAddr, splitList } from '../message/nameAddr.js';
import { parseUri, uriParam } from '../message/uri.js';

/** Record-Route fields as a route set: in order for the UAS, reversed for the UAC (RFC 3261 §12.1). */
export const routeSetOf = (message: SipRequest | SipResponse, reversed: boolean): string[] => {
  const routes = message.count('Record-Route') === 0 ? [] : message.headerList('Record-Route');
  return reversed ? routes.reverse() : routes;
};

/** The URI of a Route field value. */
export const routeUri = (route: string): string => parseNameAddr(splitList(route)[0] ?? '')?.uri ?? '';

/** RFC 3261 §12.2.1.1: a router without `lr` wants its own URI as Request-URI. */
export const isLooseRoute = (route: string): boolean => {
  const uri = parseUri(routeUri(route));
  return uri !== undefined && uriParam(uri, 'lr') !== undefined;
};
