/** Where a registered user is: one contact, how it is reached, and until when (RFC 3261 §10). */

export interface BindingSource {
  readonly transport: string;
  readonly address: string;
  readonly port: number;
}

export interface Binding {
  /**
   * What it is told from other contacts of its user by: the URI, as written first; for a user agent that keeps several flows
   * (RFC 5626 §6) its instance and the number of the flow.
   */
  readonly key: string;
  /** URI of the contact: the Request-URI of calls to it. */
  readonly contact: string;
  /** Preference in thousandths, 0 to 1000 (RFC 3261 §10.2.1.2). */
  readonly q: number;
  /** Milliseconds since 1970-01-01 UTC: nodes share it. */
  readonly expiresMs: number;
  readonly updatedMs: number;
  /** Of the REGISTER that made it, for the order of those that follow. */
  readonly callId: string;
  readonly cseq: number;
  /** `+sip.instance` without quotes, and `reg-id`; both or neither. */
  readonly instance?: string;
  readonly regId?: number;
  /** RFC 3327: Route of calls to it, in order. */
  readonly path?: readonly string[];
  /** Where the REGISTER came from: the socket's word. */
  readonly source: BindingSource;
  /** The way back, for the node that owns it. */
  readonly flow?: string;
  /** `sip:host:port;transport=`: where its datagrams came from, for nodes that have no flow. */
  readonly nextHop?: string;
  /** The Route by which the other nodes of a cluster reach it through the node that owns it. Known to nodes alone. */
  readonly nodeRoute?: string;
  /** Node, and start of it, that took the REGISTER: its connections are nobody else's. */
  readonly owner: string;
  readonly userAgent?: string;
}

/** All contacts of one user of one trunk. */
export interface Registration {
  readonly trunkSid: string;
  readonly userName: string;
  readonly bindings: readonly Binding[];
}

/** Address of record as a key: users of different trunks may have one name. */
export const aorKey = ({ trunkSid, userName }: Pick<Registration, 'trunkSid' | 'userName'>): string =>
  `${trunkSid}/${userName}`;

/** The names of the ways to it whose end a node hears of: the flow, for its owner, and the route of the others. */
export const waysTo = ({ owner, flow, nodeRoute }: Binding): readonly string[] => {
  const own = flow === undefined ? [] : [flowName(owner, flow)];
  return nodeRoute === undefined ? own : [...own, nodeRoute];
};

/** Two nodes may give their flows one name. */
export const flowName = (owner: string, flow: string): string => `${owner} ${flow}`;

/** `node.id` of an owner. */
export const nodeOf = (owner: string): string => owner.slice(0, owner.lastIndexOf('#'));

/** Whether it came over a connection, and so is reached over that alone. */
export const isConnected = ({ source }: Binding): boolean => source.transport !== 'udp';
