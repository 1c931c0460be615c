/** The flow document: what people write, files hold and the API takes. */
import { type Static, Type } from '../../kernel/index.js';

const closed = { additionalProperties: false } as const;
const NODE_ID = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';
const NAME = '^[A-Za-z][A-Za-z0-9_]{0,63}$';

/** Nodes that a flow may have. */
const MAX_NODES = 500;

const nodeId = Type.String({ pattern: NODE_ID, description: 'id of a node of this flow' });
const value = Type.Union([Type.String({ maxLength: 1024 }), Type.Number(), Type.Boolean(), Type.Null()]);

const FlowNodeSchema = Type.Object(
  {
    applet: Type.String({ minLength: 1, maxLength: 64, description: 'what the node does' }),
    params: Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: "checked by the applet's own schema",
    }),
    exits: Type.Record(Type.String(), nodeId, { default: {}, description: 'exit name -> node that follows' }),
    set: Type.Optional(
      Type.Record(Type.String({ pattern: NAME }), Type.String({ maxLength: 1024 }), {
        ...closed,
        description: 'variables to set when the node is left: name -> template',
      }),
    ),
    max_visits: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'visits of this node in one call; more are an error' }),
    ),
  },
  closed,
);

export const FlowDocumentSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[A-Za-z0-9_.:@-]{1,128}$', description: 'flow id' }),
    version: Type.Integer({ minimum: 0, maximum: 2 ** 31, default: 1 }),
    name: Type.Optional(Type.String({ maxLength: 128 })),
    account_sid: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_.:@-]{1,128}$',
        description: 'account whose numbers may name the flow; default: every account',
      }),
    ),
    start: nodeId,
    nodes: Type.Record(Type.String({ pattern: NODE_ID }), FlowNodeSchema, {
      ...closed,
      minProperties: 1,
      maxProperties: MAX_NODES,
    }),
    variables: Type.Record(Type.String({ pattern: NAME }), value, {
      ...closed,
      default: {},
      maxProperties: 200,
      description: 'variable -> value at the beginning',
    }),
    fallback: Type.Optional(nodeId),
    max_call_ms: Type.Integer({ minimum: 1000, maximum: 86_400_000, default: 14_400_000 }),
  },
  { ...closed, title: 'Tandem flow' },
);

export type FlowNode = Static<typeof FlowNodeSchema>;
export type FlowDocument = Static<typeof FlowDocumentSchema>;
