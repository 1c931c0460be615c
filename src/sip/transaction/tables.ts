/**
 * The transaction machines of RFC 3261 §17 as corrected by RFC 6026, as data: state x event -> next state and actions.
 * The transaction classes interpret them; a test walks every cell. "Reliable" transports differ only in the timers that an
 * action starts (see the `start_*` actions in the transaction classes), as in the RFC's figures.
 * Over UDP the rows "completed" and "confirmed", and "accepted" once its ACK is through, are played by what lingers.
 */

export interface Cell<S extends string, A extends string> {
  /** undefined: stay. */
  readonly next: S | undefined;
  readonly actions: readonly A[];
}

export type Table<S extends string, E extends string, A extends string> = Readonly<
  Record<S, Readonly<Record<E, Cell<S, A>>>>
>;

const IGNORE: Cell<never, never> = { next: undefined, actions: [] };
const stay = <A extends string>(...actions: A[]): Cell<never, A> => ({ next: undefined, actions });
const go = <S extends string, A extends string>(next: S, ...actions: A[]): Cell<S, A> => ({ next, actions });

// ---------------------------------------------------------------- INVITE client, RFC 3261 §17.1.1 and RFC 6026 §7.2

export type InviteClientState = 'calling' | 'proceeding' | 'accepted' | 'completed' | 'terminated';
export type InviteClientEvent =
  '1xx' | '2xx' | '3xx_6xx' | 'timer_a' | 'timer_b' | 'timer_d' | 'timer_m' | 'transport_error';
export type InviteClientAction =
  | 'resend'
  | 'stop_timers'
  | 'start_d'
  | 'start_m'
  | 'send_ack'
  | 'tell_response'
  | 'tell_timeout'
  | 'tell_error'
  | 'end';

export const INVITE_CLIENT: Table<InviteClientState, InviteClientEvent, InviteClientAction> = {
  calling: {
    '1xx': go('proceeding', 'stop_timers', 'tell_response'),
    '2xx': go('accepted', 'stop_timers', 'start_m', 'tell_response'), // RFC 6026 §7.2
    '3xx_6xx': go('completed', 'stop_timers', 'send_ack', 'start_d', 'tell_response'),
    timer_a: stay('resend'),
    timer_b: go('terminated', 'stop_timers', 'tell_timeout', 'end'),
    timer_d: IGNORE,
    timer_m: IGNORE,
    transport_error: go('terminated', 'stop_timers', 'tell_error', 'end'),
  },
  proceeding: {
    '1xx': stay('tell_response'),
    '2xx': go('accepted', 'start_m', 'tell_response'),
    '3xx_6xx': go('completed', 'send_ack', 'start_d', 'tell_response'),
    timer_a: IGNORE,
    timer_b: IGNORE,
    timer_d: IGNORE,
    timer_m: IGNORE,
    transport_error: go('terminated', 'tell_error', 'end'),
  },
  accepted: {
    '1xx': IGNORE,
    '2xx': stay('tell_response'),
    '3xx_6xx': IGNORE,
    timer_a: IGNORE,
    timer_b: IGNORE,
    timer_d: IGNORE,
    timer_m: go('terminated', 'end'),
    transport_error: IGNORE,
  },
  completed: {
    '1xx': IGNORE,
    '2xx': IGNORE,
    '3xx_6xx': stay('send_ack'),
    timer_a: IGNORE,
    timer_b: IGNORE,
    timer_d: go('terminated', 'end'),
    timer_m: IGNORE,
    // The final answer is already delivered: a lost ACK is the peer's retransmission to solve.
    transport_error: IGNORE,
  },
  terminated: {
    '1xx': IGNORE,
    '2xx': IGNORE,
    '3xx_6xx': IGNORE,
    timer_a: IGNORE,
    timer_b: IGNORE,
    timer_d: IGNORE,
    timer_m: IGNORE,
    transport_error: IGNORE,
  },
};

// ---------------------------------------------------------------- INVITE server, RFC 3261 §17.2.1 and RFC 6026 §7.1

export type InviteServerState = 'proceeding' | 'accepted' | 'completed' | 'confirmed' | 'terminated';
export type InviteServerEvent =
  | 'invite'
  | 'ack'
  | 'send_1xx'
  | 'send_2xx'
  | 'send_3xx_6xx'
  | 'timer_g'
  | 'timer_h'
  | 'timer_i'
  | 'timer_l'
  | 'transport_error';
export type InviteServerAction =
  | 'send'
  | 'resend'
  | 'stop_timers'
  | 'start_g_h'
  | 'restart_g'
  | 'start_i'
  | 'start_l'
  | 'tell_ack'
  | 'tell_timeout'
  | 'tell_error'
  | 'end';

export const INVITE_SERVER: Table<InviteServerState, InviteServerEvent, InviteServerAction> = {
  proceeding: {
    invite: stay('resend'),
    ack: IGNORE,
    send_1xx: stay('send'),
    send_2xx: go('accepted', 'send', 'start_l'),
    send_3xx_6xx: go('completed', 'send', 'start_g_h'),
    timer_g: IGNORE,
    timer_h: IGNORE,
    timer_i: IGNORE,
    timer_l: IGNORE,
    transport_error: stay('tell_error'), // RFC 6026 §7.1 and figure 5: no longer the end
  },
  accepted: {
    invite: IGNORE, // RFC 6026 §7.1: absorbed; the core repeats its 2xx by itself
    ack: stay('tell_ack'),
    send_1xx: IGNORE,
    send_2xx: stay('send'),
    send_3xx_6xx: IGNORE,
    timer_g: IGNORE,
    timer_h: IGNORE,
    timer_i: IGNORE,
    timer_l: go('terminated', 'end'),
    transport_error: stay('tell_error'),
  },
  completed: {
    invite: stay('resend'),
    ack: go('confirmed', 'stop_timers', 'start_i'),
    send_1xx: IGNORE,
    send_2xx: IGNORE,
    send_3xx_6xx: IGNORE,
    timer_g: stay('resend', 'restart_g'),
    timer_h: go('terminated', 'stop_timers', 'tell_timeout', 'end'),
    timer_i: IGNORE,
    timer_l: IGNORE,
    transport_error: stay('tell_error'),
  },
  confirmed: {
    invite: IGNORE,
    ack: IGNORE,
    send_1xx: IGNORE,
    send_2xx: IGNORE,
    send_3xx_6xx: IGNORE,
    timer_g: IGNORE,
    timer_h: IGNORE,
    timer_i: go('terminated', 'end'),
    timer_l: IGNORE,
    transport_error: IGNORE,
  },
  terminated: {
    invite: IGNORE,
    ack: IGNORE,
    send_1xx: IGNORE,
    send_2xx: IGNORE,
    send_3xx_6xx: IGNORE,
    timer_g: IGNORE,
    timer_h: IGNORE,
    timer_i: IGNORE,
    timer_l: IGNORE,
    transport_error: IGNORE,
  },
};

// ---------------------------------------------------------------- non-INVITE client, RFC 3261 §17.1.2

export type ClientState = 'trying' | 'proceeding' | 'completed' | 'terminated';
export type ClientEvent = '1xx' | 'final' | 'timer_e' | 'timer_f' | 'timer_k' | 'transport_error';
export type ClientAction =
  | 'resend'
  | 'restart_e'
  | 'slow_e'
  | 'stop_timers'
  | 'start_k'
  | 'tell_response'
  | 'tell_timeout'
  | 'tell_error'
  | 'end';

export const CLIENT: Table<ClientState, ClientEvent, ClientAction> = {
  trying: {
    '1xx': go('proceeding', 'tell_response'),
    final: go('completed', 'stop_timers', 'start_k', 'tell_response'),
    timer_e: stay('resend', 'restart_e'),
    timer_f: go('terminated', 'stop_timers', 'tell_timeout', 'end'),
    timer_k: IGNORE,
    transport_error: go('terminated', 'stop_timers', 'tell_error', 'end'),
  },
  proceeding: {
    '1xx': stay('tell_response'),
    final: go('completed', 'stop_timers', 'start_k', 'tell_response'),
    timer_e: stay('resend', 'slow_e'), // every T2 from here on
    timer_f: go('terminated', 'stop_timers', 'tell_timeout', 'end'),
    timer_k: IGNORE,
    transport_error: go('terminated', 'stop_timers', 'tell_error', 'end'),
  },
  completed: {
    '1xx': IGNORE,
    final: IGNORE,
    timer_e: IGNORE,
    timer_f: IGNORE,
    timer_k: go('terminated', 'end'),
    transport_error: IGNORE,
  },
  terminated: {
    '1xx': IGNORE,
    final: IGNORE,
    timer_e: IGNORE,
    timer_f: IGNORE,
    timer_k: IGNORE,
    transport_error: IGNORE,
  },
};

// ---------------------------------------------------------------- non-INVITE server, RFC 3261 §17.2.2

export type ServerState = 'trying' | 'proceeding' | 'completed' | 'terminated';
export type ServerEvent = 'request' | 'send_1xx' | 'send_final' | 'timer_j' | 'transport_error';
export type ServerAction = 'send' | 'resend' | 'start_j' | 'tell_error' | 'end';

export const SERVER: Table<ServerState, ServerEvent, ServerAction> = {
  trying: {
    request: IGNORE,
    send_1xx: go('proceeding', 'send'),
    send_final: go('completed', 'send', 'start_j'),
    timer_j: IGNORE,
    transport_error: IGNORE,
  },
  proceeding: {
    request: stay('resend'),
    send_1xx: stay('send'),
    send_final: go('completed', 'send', 'start_j'),
    timer_j: IGNORE,
    transport_error: go('terminated', 'tell_error', 'end'),
  },
  completed: {
    request: stay('resend'),
    send_1xx: IGNORE,
    send_final: IGNORE,
    timer_j: go('terminated', 'end'),
    transport_error: IGNORE, // nobody waits to be told, and a copy of the request may come by a way that works
  },
  terminated: {
    request: IGNORE,
    send_1xx: IGNORE,
    send_final: IGNORE,
    timer_j: IGNORE,
    transport_error: IGNORE,
  },
};
