import { Type } from '../kernel/index.js';

/** `calls.overload`. */
export const overload = Type.Object(
  {
    enabled: Type.Boolean({ description: 'false: every call is taken, whatever becomes of the others', default: true }),
    delayMs: Type.Integer({
      description:
        'How long a new call may wait for the signalling thread while more come than it can serve, in milliseconds; a burst may wait for 400',
      minimum: 5,
      maximum: 400,
      default: 50,
    }),
    obeyPeers: Type.Boolean({
      description:
        'Ask next hops by oc in the Via (RFC 7339) how many calls they can take, and keep what they ask us to keep: such a call goes to the next destination, or gets 503',
      default: false,
    }),
    emergencyNumbers: Type.Array(
      Type.String({ description: 'As it stands in the Request-URI', pattern: '^[0-9*#+]{1,20}$' }),
      {
        description: 'Called numbers that are let in, and sent on, whatever the load; urn:service:sos always is',
        default: [],
      },
    ),
  },
  {
    description: 'What becomes of new calls while more are offered than the node can serve (503 with Retry-After)',
    additionalProperties: false,
    default: {},
  },
);
