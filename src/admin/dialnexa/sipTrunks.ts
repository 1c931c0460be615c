/** `POST /v1/organization-phone-numbers/sip-trunks`: a number that the account brings along, with its SIP provider. */
import type { FastifyInstance } from 'fastify';
import { type Endpoint, parseEndpoint } from '../../call/routing/endpoint.js';
import { type Network, formatNetwork, parseNetwork } from '../../call/routing/ipAddress.js';
import { contains } from '../../call/routing/lintAcl.js';
import { isE164 } from '../../call/routing/numbers.js';
import type { Carrier, IpRange, PhoneNumber, Resource, Trunk } from '../../call/routing/resources.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { type NexaApi, type Outcome, answers, numberData } from './api.js';
import { NexaError, fault } from './faults.js';

const text = (description: string, maxLength: number) => Type.String({ minLength: 1, maxLength, description });

const Body = Type.Object({
  phoneNumber: text('E.164', 32),
  terminationUri: text('host[:port], without sip:', 260),
  authMode: Type.Enum(['userpass', 'ip']),
  sipTrunkUserName: Type.Optional(text('required for userpass, forbidden for ip', 64)),
  sipTrunkPassword: Type.Optional(text('required for userpass, forbidden for ip', 128)),
  sipTrunkRealm: Type.Optional(text('not of DialNexa: the realm of its challenges; default: that of its answer', 128)),
  nickname: Type.Optional(text('for people', 64)),
});
type Asked = Static<typeof Body>;

const DEFAULT_TRUNK = 'default';
/** Addresses that a termination host may have: each is a rule for calls that come in. */
const MAX_ADDRESSES = 16;

const bad = (message: string): NexaError => new NexaError(fault(400, message));

/** @throws NexaError 400 */
const endpointOf = ({ terminationUri, phoneNumber, ...asked }: Asked): Endpoint => {
  if (!isE164(phoneNumber)) throw bad('phoneNumber must be a valid E.164 number');
  if (/^sips?:/i.test(terminationUri)) throw bad('terminationUri must not begin with sip:');
  if (/[;?@]/.test(terminationUri)) throw bad('terminationUri must be host or host:port');
  const endpoint = parseEndpoint(terminationUri);
  if (!endpoint.ok) throw bad(`terminationUri ${endpoint.error}`);
  const { authMode, sipTrunkUserName: name, sipTrunkPassword: password } = asked;
  if (authMode === 'userpass' && (name === undefined || password === undefined)) {
    throw bad('sipTrunkUserName and sipTrunkPassword are required when authMode is userpass');
  }
  if (authMode === 'ip' && (name !== undefined || password !== undefined)) {
    throw bad('sipTrunkUserName and sipTrunkPassword must not be set when authMode is ip');
  }
  return endpoint.value;
};

interface Reached {
  readonly place: string;
  readonly addresses: readonly string[];
  readonly realm: string | undefined;
}

/** Where calls of the number come from: what the host resolves to. @throws NexaError 502 when it does not answer */
const reached = async (api: NexaApi, { text: place }: Endpoint): Promise<Reached> => {
  const { probe } = api.deps;
  if (probe === undefined) throw new NexaError(fault(502, 'SIP trunk registration failed: this node cannot probe'));
  const { addresses, realm, fault: why } = await probe(place);
  if (why === undefined) return { place, realm, addresses: addresses.slice(0, MAX_ADDRESSES) };
  throw new NexaError(fault(502, `SIP trunk registration failed: ${why}`));
};

const networksOf = (ranges: readonly IpRange[]): Network[] =>
  ranges.map(({ ip, mask }) => parseNetwork(ip, mask)).filter((network) => network !== undefined);

/**
 * Whether calls from this address are somebody else's already: of the operator's carriers, or of another account's
 * trunk. Two accounts may have the same provider.
 */
const isTaken = (directory: Directory, accountSid: string, address: string): boolean => {
  const own = parseNetwork(address);
  if (own === undefined) return true;
  const text = formatNetwork(own);
  for (const carrier of directory.carriers()) {
    if (carrier.account_sid === accountSid) continue;
    const shared = carrier.account_sid === undefined;
    for (const network of networksOf(carrier.source_acl)) {
      if (contains(network, own) && (shared || formatNetwork(network) !== text)) return true;
    }
  }
  for (const trunk of directory.trunks()) {
    if (trunk.account_sid === accountSid) continue;
    for (const network of networksOf(trunk.whitelisted_ips)) if (contains(network, own)) return true;
  }
  return false;
};

/** The trunk named `default`, else the account's first. */
const defaultTrunk = (directory: Directory, accountSid: string): Trunk | undefined => {
  let first: Trunk | undefined;
  for (const trunk of directory.trunksOf(accountSid)) {
    if (trunk.trunk_name === DEFAULT_TRUNK) return trunk;
    first ??= trunk;
  }
  return first;
};

/** Everything that one request makes, with its ids: the same when it is decided anew. */
interface Draft {
  readonly accountSid: string;
  readonly carrier: Carrier;
  readonly number: Omit<PhoneNumber, 'trunk_sid'>;
  /** Made where the account has none. */
  readonly trunk: Trunk;
}

const draftOf = (
  api: NexaApi,
  accountSid: string,
  asked: Asked,
  { place, addresses, realm: found }: Reached,
): Draft => {
  const now = api.now();
  const dates = { date_created: now, date_updated: now };
  const { phoneNumber, authMode, sipTrunkUserName = '', sipTrunkPassword = '', nickname } = asked;
  const realm = asked.sipTrunkRealm ?? found;
  const login = { user_name: sipTrunkUserName, password: sipTrunkPassword, ...(realm === undefined ? {} : { realm }) };
  const carrier: Carrier = {
    id: api.newSid('byo_'),
    kind: 'byo',
    account_sid: accountSid,
    ...(nickname === undefined ? {} : { nickname }),
    source_acl: addresses.map((ip) => ({ ip })),
    gateways: [{ uri: `sip:${place}`, priority: 0, weight: 1 }],
    ...(authMode === 'ip' ? {} : { credentials: login }),
    ...dates,
  };
  const named = nickname === undefined ? {} : { friendly_name: nickname };
  const number = { phone_number: phoneNumber, mode: 'pstn' as const, carrier: carrier.id, ...named };
  const trunk: Trunk = {
    trunk_sid: api.newSid('trtdm1'),
    account_sid: accountSid,
    trunk_name: DEFAULT_TRUNK,
    status: 'active',
    whitelisted_ips: [],
    credentials: [],
    destination_uris: [],
    ...dates,
  };
  return { accountSid, carrier, number: { ...number, id: api.newNumberId(), ...dates }, trunk };
};

const placed = (
  directory: Directory,
  { accountSid, carrier, number, trunk }: Draft,
): Outcome<{ readonly upserts: readonly Resource[]; readonly deletes: []; readonly result: PhoneNumber }> => {
  if (directory.number(number.phone_number) !== undefined) {
    return err(fault(409, `Phone number ${number.phone_number} is already registered`));
  }
  for (const { ip } of carrier.source_acl) {
    if (isTaken(directory, accountSid, ip))
      return err(fault(400, `terminationUri resolves to ${ip}, which is reserved`));
  }
  const existing = defaultTrunk(directory, accountSid);
  const value: PhoneNumber = { ...number, trunk_sid: (existing ?? trunk).trunk_sid };
  const made: Resource[] = existing === undefined ? [{ type: 'trunk', value: trunk }] : [];
  const upserts: Resource[] = [{ type: 'carrier', value: carrier }, ...made, { type: 'phone_number', value }];
  return ok({ upserts, deletes: [], result: value });
};

export const sipTrunkRoutes = (app: FastifyInstance, api: NexaApi): void => {
  app.post<{ Body: Asked }>(
    '/organization-phone-numbers/sip-trunks',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Registers a number that the account brings along, with its SIP provider',
        body: Body,
        response: answers(
          { 201: Type.Object({ id: Type.String() }, { additionalProperties: true }) },
          400,
          409,
          415,
          502,
          503,
        ),
      },
    },
    async (request, reply) => {
      const { body } = request;
      const { sid } = api.account(request);
      const endpoint = endpointOf(body);
      // Before a stranger's host is asked anything.
      if (api.directory().number(body.phoneNumber) !== undefined) {
        throw new NexaError(fault(409, `Phone number ${body.phoneNumber} is already registered`));
      }
      const draft = draftOf(api, sid, body, await reached(api, endpoint));
      const number = await api.change(request, (directory) => placed(directory, draft));
      return reply.code(201).send(numberData(api.directory(), api.ids.remember(number)));
    },
  );
};
