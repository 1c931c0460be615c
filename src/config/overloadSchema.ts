import { Type } from '../kernel/index.js';

/** `calls.overload`. */
export const overload = Type.Object(
  {
    enabled: Type.Boolean({ description: 'false: every call is taken, whatever becomes of the others', default: true }),
    targetPercent: Type.Integer({
      description: 'How busy the signalling thread should be at most while new calls are refused',
      minimum: 30,
      maximum: 99,
      default: 97,
    }),
    emergencyNumbers: Type.Array(
      Type.String({ description: 'As it stands in the Request-URI', pattern: '^[0-9*#+]{1,20}$' }),
      { description: 'Called numbers that are let in whatever the load; urn:service:sos always is', default: [] },
    ),
  },
  {
    description: 'What becomes of new calls while more are offered than the node can serve (503 with Retry-After)',
    additionalProperties: false,
    default: {},
  },
);
