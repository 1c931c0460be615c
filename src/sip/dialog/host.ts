import type { Source } from '../face.js';
import type { SipRequest } from '../message/message.js';
import type { Locator } from '../locate/locator.js';
import type { HostResolver } from '../ports.js';
import type { TransactionLayer } from '../transaction/layer.js';
import type { Hop, Listener } from '../transport/hop.js';
import type { LargeRequests } from '../transport/largeRequests.js';
import type { DialogParts, InviteDialog } from './dialog.js';
import type { LaunchUser } from './outgoing.js';
import type { SameParty } from './party.js';

/** What dialogs and requests need of the core that holds them. */
export interface CoreHost {
  readonly layer: TransactionLayer;
  readonly resolver: HostResolver;
  readonly locator: Locator;
  /** Absent: requests are not too long for UDP. */
  readonly large: LargeRequests | undefined;
  readonly userAgent: string | undefined;
  /** Absent: whoever knows a dialog's tags may speak in it. */
  readonly sameParty: SameParty | undefined;
  /** Requests whose next hop is still being looked up, or was not found: to be told when the engine stops. */
  readonly unlaunched: Set<LaunchUser>;
  newTag(): string;
  /** As IncomingRequest.nodeRoute. */
  nodeRoute(flow: string): string | undefined;
  /** Makes an early dialog and registers it under its key. */
  newDialog(parts: DialogParts): InviteDialog;
  removeDialog(dialog: InviteDialog): void;
  /** Calls into the user; what it throws becomes an event, never our failure. Returns false when it threw. */
  guard(call: () => void): boolean;
  stopped(): boolean;
}

/** The local side of something that we send. */
export const outboundSource = (listener: Listener, hop: Hop | undefined, bytes: number): Source => ({
  transport: listener.transport,
  address: hop?.address ?? '',
  port: hop?.port ?? 0,
  localAddress: listener.local.address,
  localPort: listener.local.port,
  bytes,
});

/** The key under which both ends' requests find a dialog, RFC 3261 §12. */
export const dialogKey = (callId: string, localTag: string, remoteTag: string): string =>
  `${callId};${localTag};${remoteTag}`;

/** As the peer wrote it: our tag is in To. */
export const dialogKeyOfRequest = (request: SipRequest): string =>
  dialogKey(request.callId, request.toTag ?? '', request.fromTag ?? '');
