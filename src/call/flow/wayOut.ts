/** The shape of a flow: which nodes can be reached, which can reach an end, which cycles would race. Linear in edges. */
import type { Applet, AppletSet } from './applet.js';
import type { FlowDocument, FlowNode } from './document.js';

export interface Shape {
  readonly unreachable: readonly string[];
  /** From the start into nodes that never reach an end; undefined when there are none. */
  readonly trap: readonly string[] | undefined;
  /** A cycle in which nothing waits for the caller and nothing is bounded: first node repeated at the end. */
  readonly race: readonly string[] | undefined;
}

type Edges = ReadonlyMap<string, readonly string[]>;

/** For a document whose nodes, applets, params and targets are in order. */
export function shapeOf(flow: FlowDocument, applets: AppletSet): Shape {
  const all = new Map<string, string[]>();
  const ordinary = new Map<string, string[]>();
  const ends: string[] = [];
  const brakes = new Set<string>();
  for (const [id, node] of Object.entries(flow.nodes)) {
    const applet = applets.get(node.applet);
    if (applet === undefined) continue;
    const targets = Object.entries(node.exits);
    all.set(id, [...targets.map(([, target]) => target)]);
    ordinary.set(id, [...targets.filter(([exit]) => exit !== 'error').map(([, target]) => target)]);
    if (fallsBack(flow, node, applet)) ordinary.get(id)?.push(flow.fallback as string);
    if (isWayOut(node, applet)) ends.push(id);
    if (applet.waitsForCaller || node.max_visits !== undefined) brakes.add(id);
  }
  const roots = flow.fallback === undefined ? [flow.start] : [flow.start, flow.fallback];
  const before = walk(roots, all);
  const saved = walk(ends, reversed(ordinary));
  const reached = [...before.keys()];
  const lost = reached.find((id) => !saved.has(id));
  return {
    unreachable: Object.keys(flow.nodes).filter((id) => !before.has(id)),
    trap: lost === undefined ? undefined : intoTrap(lost, before, ordinary),
    race: findCycle(
      reached.filter((id) => !brakes.has(id)),
      all,
    ),
  };
}

/** An exit that fails when it leads nowhere leads to the fallback. */
function fallsBack(flow: FlowDocument, node: FlowNode, applet: Applet): boolean {
  return (
    flow.fallback !== undefined &&
    applet.exits(node.params).some((rule) => rule.unwired === 'fails' && !has(node, rule.name))
  );
}

function isWayOut(node: FlowNode, applet: Applet): boolean {
  return applet.isEnd || applet.exits(node.params).some((rule) => rule.unwired === 'ends' && !has(node, rule.name));
}

const has = (node: FlowNode, exit: string): boolean => Object.hasOwn(node.exits, exit);

/** Breadth first. @returns each node reached, with the one before it */
function walk(roots: readonly string[], edges: Edges): Map<string, string | undefined> {
  const before = new Map<string, string | undefined>(roots.map((root) => [root, undefined]));
  const queue = [...before.keys()];
  for (let i = 0; i < queue.length; i++) {
    const id = queue[i] as string;
    for (const target of edges.get(id) ?? []) {
      if (before.has(target)) continue;
      before.set(target, id);
      queue.push(target);
    }
  }
  return before;
}

function reversed(edges: Edges): Edges {
  const back = new Map<string, string[]>();
  for (const [id, targets] of edges) {
    for (const target of targets) {
      const sources = back.get(target);
      if (sources === undefined) back.set(target, [id]);
      else sources.push(id);
    }
  }
  return back;
}

/** From a root to the lost node and on, until it meets itself. */
function intoTrap(lost: string, before: ReadonlyMap<string, string | undefined>, edges: Edges): string[] {
  const path: string[] = [];
  for (let id: string | undefined = lost; id !== undefined; id = before.get(id)) path.unshift(id);
  const seen = new Set(path);
  for (let id = edges.get(lost)?.[0]; id !== undefined; id = edges.get(id)?.[0]) {
    path.push(id);
    if (seen.has(id)) break;
    seen.add(id);
  }
  return path;
}

/** Depth first, without recursion. */
function findCycle(nodes: readonly string[], edges: Edges): string[] | undefined {
  const inside = new Set(nodes);
  const done = new Set<string>();
  for (const root of nodes) {
    if (done.has(root)) continue;
    const path: { id: string; next: number }[] = [{ id: root, next: 0 }];
    const onPath = new Set([root]);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const target = edges.get(top.id)?.[top.next++];
      if (target === undefined) {
        path.pop();
        onPath.delete(top.id);
        done.add(top.id);
      } else if (onPath.has(target)) {
        const ids = path.map(({ id }) => id);
        return [...ids.slice(ids.indexOf(target)), target];
      } else if (inside.has(target) && !done.has(target)) {
        path.push({ id: target, next: 0 });
        onPath.add(target);
      }
    }
  }
  return undefined;
}
