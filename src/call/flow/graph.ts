/** What a flow must be before it is published: a refusal names the place, the rule and, for loops, the way. */
import { type Result, type SchemaCheck, err, ok, schemaChecks } from '../../kernel/index.js';
import { type DocumentProblem, describeSchemaError, problem, unknownKey } from '../routing/problems.js';
import type { Applet, AppletSet } from './applet.js';
import { type FlowDocument, FlowDocumentSchema, type FlowNode } from './document.js';
import { eachVariable, parseExpression } from './expression.js';
import { hasTemplate, parseTemplate } from './template.js';
import { RESERVED_NAMES, variableProblem } from './variables.js';
import { shapeOf } from './wayOut.js';

export type FlowProblem = DocumentProblem;

/** Visits of a node in one call where the node says nothing else, and steps of a call. More are errors. */
export const DEFAULT_MAX_VISITS = 20;
export const MAX_STEPS = 500;

export interface CheckedFlow {
  readonly flow: FlowDocument;
  /** What is odd but harmless: nodes that nothing leads to. */
  readonly warnings: readonly FlowProblem[];
}

const MAX_PROBLEMS = 100;

const checks = schemaChecks({ allErrors: true, verbose: true, useDefaults: true, strict: false });
const documentShape = checks(FlowDocumentSchema);
const paramShapes = new WeakMap<Applet, SchemaCheck>();

const paramShape = (applet: Applet): SchemaCheck => {
  let shape = paramShapes.get(applet);
  if (shape === undefined) paramShapes.set(applet, (shape = checks(applet.params)));
  return shape;
};

/**
 * Checks a flow document: its shape, every node's params by the applet's own schema, exits, expressions, and that the
 * flow has a way out everywhere. Defaults are filled in in place: the caller hands its data over.
 * @returns the flow with warnings, or at most 100 problems, each with its path and a sentence
 */
export function validateFlow(data: unknown, applets: AppletSet): Result<CheckedFlow, FlowProblem[]> {
  if (!documentShape(data)) return err(documentShape.errors.slice(0, MAX_PROBLEMS).map(describeSchemaError));
  const flow = data as FlowDocument;
  const check = new FlowCheck(flow);
  for (const name of Object.keys(flow.variables)) {
    if (RESERVED_NAMES.includes(name)) check.add(`variables.${name}`, 'has the name of something else: choose another');
  }
  check.target('start', flow.start);
  if (flow.fallback !== undefined) check.target('fallback', flow.fallback);
  for (const [id, node] of Object.entries(flow.nodes)) checkNode(check, { id, node }, applets);
  if (check.problems.length > 0) return err(check.problems.slice(0, MAX_PROBLEMS));
  const shape = shapeOf(flow, applets);
  if (shape.trap !== undefined) {
    const at = `nodes.${shape.trap.at(-1)}`;
    check.add(at, `has no way to an end of the call: ${shape.trap.join(' -> ')}`);
  }
  if (shape.race !== undefined) {
    const way = shape.race.join(' -> ');
    check.add(
      `nodes.${shape.race[0]}`,
      `is in a loop in which nothing waits for the caller and no node has max_visits: ${way}`,
    );
  }
  if (check.problems.length > 0) return err(check.problems);
  const warnings = shape.unreachable.map((id) => problem(`nodes.${id}`, 'is never reached: no exit leads to it'));
  return ok({ flow, warnings });
}

class FlowCheck {
  readonly problems: FlowProblem[] = [];
  readonly flow: FlowDocument;

  constructor(flow: FlowDocument) {
    this.flow = flow;
  }

  add(path: string, rule: string): void {
    this.problems.push(problem(path, rule));
  }

  target(path: string, id: string): void {
    if (Object.hasOwn(this.flow.nodes, id)) return;
    this.add(path, `leads to '${id}', which is no node of this flow`);
  }

  expression(path: string, text: string): void {
    const parsed = parseExpression(text);
    if (parsed.ok) this.#variables(path, [parsed.value]);
    else this.add(path, `is no condition: ${parsed.error.message}`);
  }

  template(path: string, text: string): void {
    if (!hasTemplate(text)) return;
    const parsed = parseTemplate(text);
    if (parsed.ok)
      this.#variables(
        path,
        parsed.value.filter((part) => typeof part !== 'string'),
      );
    else this.add(path, `is no template: ${parsed.error.message}`);
  }

  #variables(path: string, expressions: readonly Parameters<typeof eachVariable>[0][]): void {
    for (const expression of expressions) {
      eachVariable(expression, (variable) => {
        const wrong = variableProblem(this.flow, variable.path);
        if (wrong !== undefined) this.add(path, wrong);
      });
    }
  }
}

function checkNode(check: FlowCheck, entry: { id: string; node: FlowNode }, applets: AppletSet): void {
  const { id, node } = entry;
  const at = `nodes.${id}`;
  const applet = applets.get(node.applet);
  if (applet === undefined) {
    check.problems.push(unknownApplet(at, node.applet, applets));
    return;
  }
  const shape = paramShape(applet);
  if (!shape(node.params)) {
    for (const error of shape.errors) {
      const { path, rule } = describeSchemaError(error);
      check.add(path === '' ? `${at}.params` : `${at}.params${path.startsWith('[') ? '' : '.'}${path}`, rule);
    }
    return;
  }
  applet.check?.(node.params, (path, rule) => check.add(`${at}.params.${path}`, rule));
  const conditions = new Set<string>();
  for (const [path, text] of applet.conditions?.(node.params) ?? []) {
    conditions.add(path);
    check.expression(`${at}.params.${path}`, text);
  }
  eachText(node.params, '', (path, text) => {
    if (!conditions.has(path)) check.template(`${at}.params.${path}`, text);
  });
  for (const [name, text] of Object.entries(node.set ?? {})) {
    if (!Object.hasOwn(check.flow.variables, name)) check.add(`${at}.set.${name}`, 'is no variable of this flow');
    check.template(`${at}.set.${name}`, text);
  }
  checkExits(check, entry, applet);
}

function checkExits(check: FlowCheck, { id, node }: { id: string; node: FlowNode }, applet: Applet): void {
  const rules = applet.exits(node.params);
  const known = [...rules.map((rule) => rule.name), 'error'];
  for (const [name, target] of Object.entries(node.exits)) {
    if (known.includes(name)) check.target(`nodes.${id}.exits.${name}`, target);
    else check.problems.push(unknownKey(`nodes.${id}.exits`, name, known));
  }
  for (const rule of rules) {
    if (rule.unwired !== 'refused' || Object.hasOwn(node.exits, rule.name)) continue;
    check.add(`nodes.${id}.exits`, `must say where '${rule.name}' leads: the call would hang in ${id}`);
  }
}

function unknownApplet(at: string, name: string, applets: AppletSet): FlowProblem {
  const { rule } = unknownKey(`${at}.applet`, name, [...applets.keys()]);
  return problem(
    `${at}.applet`,
    rule.replace('has an unknown key', 'is an unknown applet').replace('valid keys', 'there are'),
  );
}

/** Every text within params, with its path. Params are as deep as the applet's schema allows. */
function eachText(value: unknown, path: string, visit: (path: string, text: string) => void): void {
  if (typeof value === 'string') visit(path, value);
  else if (Array.isArray(value)) value.forEach((item, i) => eachText(item, `${path}[${i}]`, visit));
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) eachText(item, path === '' ? key : `${path}.${key}`, visit);
  }
}
