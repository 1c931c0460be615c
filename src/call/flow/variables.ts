/** The names that expressions may use, and their values. */
import type { FlowDocument } from './document.js';
import type { FlowState } from './state.js';
import type { Value, Values } from './values.js';

const CALL_NAMES = ['sid', 'from', 'to', 'account', 'direction', 'answered', 'hungup', 'seconds'];
const ROOTS = ['call', 'caller', 'custom', 'nodes'];

/** Words that no variable of a flow may be named. */
export const RESERVED_NAMES: readonly string[] = [...ROOTS, 'and', 'or', 'not', 'true', 'false', 'null'];

/** What is wrong with a variable of this flow; undefined when nothing is. */
export function variableProblem(flow: FlowDocument, path: readonly string[]): string | undefined {
  const name = path.join('.');
  const [root, second] = path as readonly [string, ...string[]];
  switch (root) {
    case 'call':
      return path.length === 2 && CALL_NAMES.includes(second as string)
        ? undefined
        : `uses '${name}' (call has ${CALL_NAMES.join(', ')})`;
    case 'caller':
    case 'custom':
      return path.length === 2 ? undefined : `uses '${name}' (write ${root}.<name>)`;
    case 'nodes':
      if (path.length !== 3) return `uses '${name}' (write nodes.<node>.<result>)`;
      return Object.hasOwn(flow.nodes, second as string) ? undefined : `uses '${name}': there is no node '${second}'`;
    default:
      if (path.length === 1 && Object.hasOwn(flow.variables, root)) return undefined;
      return `uses an unknown variable '${name}' (there are ${[...ROOTS, ...Object.keys(flow.variables)].join(', ')})`;
  }
}

const own = (values: Values | undefined, name: string | undefined): Value =>
  values !== undefined && name !== undefined && Object.hasOwn(values, name) ? (values[name] ?? null) : null;

/** Value of a variable; null when it has none. */
export function lookUp(state: FlowState, nowMs: number, path: readonly string[]): Value {
  const [root, second, third] = path;
  switch (root) {
    case 'call':
      return own(callValues(state, nowMs), second);
    case 'caller':
      return own(state.call.caller, second);
    case 'custom':
      return own(state.call.custom, second);
    case 'nodes':
      return second !== undefined && Object.hasOwn(state.results, second) ? own(state.results[second], third) : null;
    default:
      return own(state.variables, root);
  }
}

const callValues = (state: FlowState, nowMs: number): Values => ({
  sid: state.call.sid,
  from: state.call.from,
  to: state.call.to,
  account: state.call.accountSid,
  direction: state.call.direction,
  answered: state.answered === 'yes',
  hungup: state.hungUp,
  seconds: Math.floor((nowMs - state.startedMs) / 1000),
});
