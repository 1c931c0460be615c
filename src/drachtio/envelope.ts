/** The first lines of `sip` frames and of OK replies, token by token. */
import type { Clock } from '../kernel/index.js';
import type { Source, TransportName } from '../sip/index.js';
import type { Reply } from './replies.js';

/** `HH:MM:SS.ffffff`, UTC. */
export function timeOfDay(clock: Clock): string {
  const micros = Math.floor(clock.wallMs() * 1000);
  const ofDay = ((micros % 86_400_000_000) + 86_400_000_000) % 86_400_000_000;
  const two = (n: number): string => String(n).padStart(2, '0');
  const seconds = Math.floor(ofDay / 1_000_000);
  const fraction = String(ofDay % 1_000_000).padStart(6, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${fraction}`;
}

/** WebSocket is reported as the stream that it runs on. */
const protocolToken = (transport: TransportName): string =>
  transport === 'ws' || transport === 'wss' ? 'tcp' : transport;

/** A dialog id as a token: a peer's Call-ID must not break the line. */
export const dialogToken = (id: string): string => id.replace(/[|\r\n]/g, '_');

/** One end of a transport, as four tokens. */
export interface EndpointTokens {
  readonly bytes: number;
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

/** The sender of a message from the network. */
export const sender = (source: Source): EndpointTokens => ({
  bytes: source.bytes,
  protocol: protocolToken(source.transport),
  address: source.address,
  port: source.port,
});

/** The sender of a response that the engine made on behalf of a silent or unreachable peer. */
export const nobody = (sentFrom: Source): EndpointTokens => ({
  bytes: 0,
  protocol: isUnresolved(sentFrom) ? 'unknown' : protocolToken(sentFrom.transport),
  address: '',
  port: 0,
});

/** The peer's name is still being looked up, or never was found. */
const isUnresolved = (sentFrom: Source): boolean => sentFrom.address === '';

/** Our own end; `unknown` while nothing could be sent because the peer's name is being looked up. */
export function ourEnd(source: Source, bytes: number): EndpointTokens {
  if (isUnresolved(source)) return { bytes: 0, protocol: 'unknown', address: '', port: 0 };
  const protocol = protocolToken(source.transport);
  return { bytes, protocol, address: source.localAddress, port: source.localPort };
}

const endTokens = (end: EndpointTokens): string => `${end.bytes}|${end.protocol}|${end.address}|${end.port}`;

/** A message from the network. `receivedOn` only for requests outside dialogs. */
export function networkLeader(
  end: EndpointTokens,
  time: string,
  ids: { readonly txnId: string; readonly dialogId: string },
  receivedOn?: Source,
): string {
  const leader = `sip|network|${endTokens(end)}|${time}|${ids.txnId}|${ids.dialogId}|`;
  return receivedOn === undefined ? leader : `${leader}${receivedOn.localAddress}|${receivedOn.localPort}|`;
}

/** For a message of ours that stands for the answer of somebody who gave none. */
export const nobodyAt = (bytes: number): EndpointTokens => ({ bytes, protocol: '', address: '', port: 0 });

/** One of several answers to a `proxy` frame; more follow. */
export const proxiedLeader = (frameId: string, end: EndpointTokens, time: string): string =>
  `response|${frameId}|OK|network|${endTokens(end)}|${time}|||continue`;

/** A BYE that the server sent by itself. */
export const unsolicitedLeader = (end: EndpointTokens, time: string, dialogId: string): string =>
  `sip|application|${endTokens(end)}|${time}|unsolicited|${dialogId}|`;

export const requestSent = (end: EndpointTokens, time: string, txnId: string, message: Buffer): Reply => ({
  text: `OK|application|${endTokens(end)}|${time}|${txnId}|Msg sent:|`,
  message,
});

export function responseSent(
  end: EndpointTokens,
  time: string,
  ids: { readonly txnId: string; readonly dialogId: string },
  message: Buffer,
): Reply {
  return { text: `OK|application|${endTokens(end)}|${time}|${ids.txnId}|${ids.dialogId}||Msg sent:|`, message };
}
