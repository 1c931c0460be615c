/** Ways back to registered contacts (RFC 5626 §3.3): a connection that they opened, or the two ends of their datagrams. */
import type { Hop, Listener, Way } from './hop.js';

/** Flows to other nodes of a cluster, which they are reached by from our listener for nodes: transport and address follow. */
export const TO_NODE = 'nodes/';

export const leadsToNode = (flow: string | undefined): boolean => flow?.startsWith(TO_NODE) === true;

/** Where a request came from: what a flow is made of. */
export interface FlowEnd {
  readonly listener: Listener;
  readonly address: string;
  readonly port: number;
  /** For streams. */
  readonly hop: Hop | undefined;
}

/**
 * Names of flows. That of a datagram flow says all there is to know and outlives the process; that of a connection is
 * good for that connection alone, even if another comes from the same port later.
 */
export class Flows {
  readonly #listeners: readonly Listener[];
  readonly #kept = new Map<string, Hop>();
  #serial = 0;

  /** @param listeners as they are added */
  constructor(listeners: readonly Listener[]) {
    this.#listeners = listeners;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Names the flow of a request, and keeps its connection from being closed for want of room. */
  keep({ listener, address, port, hop }: FlowEnd): string {
    const ends = `${listener.id}>${address}:${port}`;
    if (hop === undefined) return ends;
    if (hop.flowId === undefined) {
      hop.flowId = `${ends}#${(++this.#serial).toString(36)}`;
      this.#kept.set(hop.flowId, hop);
    }
    return hop.flowId;
  }

  /** @returns undefined when the connection is closed, or nothing listens there any more */
  way(flow: string): Way | undefined {
    const hop = this.#kept.get(flow);
    if (hop?.connection !== undefined) {
      return { listener: hop.listener, address: hop.address, port: hop.port, serverName: hop.address, hop };
    }
    const arrow = flow.indexOf('>');
    const colon = flow.lastIndexOf(':');
    const port = Number(flow.slice(colon + 1));
    const address = flow.slice(arrow + 1, colon);
    if (flow.startsWith(TO_NODE)) {
      const wanted = flow.slice(TO_NODE.length, arrow);
      const ours = this.#listeners.find(({ admits, transport }) => admits !== undefined && transport === wanted);
      return ours && { listener: ours, address, port, serverName: address, pinned: true };
    }
    const listener = this.#listeners.find(({ id }) => id === flow.slice(0, arrow));
    if (listener?.transport !== 'udp' || !Number.isInteger(port)) return undefined;
    return { listener, address, port, serverName: address };
  }

  /** @returns the name under which the connection was kept; undefined when nobody did */
  closed(hop: Hop): string | undefined {
    const { flowId } = hop;
    if (flowId !== undefined) this.#kept.delete(flowId);
    return flowId;
  }
}
