/**
 * S11 from the inside: text that programs hand in (variables of flows, answers of webhooks, bodies of the API) and that
 * gets near a start line or a header. Whatever it holds, it makes no header, no second line and no other URI.
 */
import t, { type Test } from 'tap';
import { APPLETS, checkFlow } from '../../src/call/applets/catalogue.js';
import { isCallerId, targetOf } from '../../src/call/applets/dialPlan.js';
import { planOfAnswer } from '../../src/call/applets/programmable.js';
import type { FlowEffect } from '../../src/call/flow/effects.js';
import { advance } from '../../src/call/flow/executor.js';
import { initialState } from '../../src/call/flow/state.js';
import { cleanText, escapeUser } from '../../src/call/bridge/headerText.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import { decideDial } from '../../src/call/routing/decideDial.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import type { InviteSpec, OutgoingEvents } from '../../src/signal/index.js';
import { adminRig } from '../support/adminRig.js';
import { callRecord } from '../support/callRecord.js';
import { EdgeRig } from '../support/edgeRig.js';
import { FACTS } from '../support/flowLadder.js';
import { NUMBER, TOWN, peerAt, townRouting } from '../support/edgeTown.js';

const ADDRESS = '127.45.2.1';
const PORT = 45_400;
const PORTS = { carrier: 45_410, pbx: 45_420 };
const EVIL = 'X-Evil:1';

t.setTimeout(110_000);

/** What each text tries to end: a line, a head, a bracket, a quoted string, a URI. */
const ENDS: { readonly [name: string]: string } = {
  'CR LF': '\r\n',
  'LF alone': '\n',
  'CR alone': '\r',
  'two line ends': '\r\n\r\n',
  'a fold': '\r\n ',
  NUL: '\0',
  'vertical tab': '\x0b',
  DEL: '\x7f',
  'U+010D U+010A, octets 0D 0A': '\u010d\u010a',
  'U+0A0D': '\u0a0d',
  'U+2028': '\u2028',
  NEL: '\x85',
  'U+0100, octet 00': '\u0100',
  'a closing bracket': '>',
  'an opening bracket': '<sip:evil@evil.example>',
  'a wide closing bracket, octet 3E': '\u013e',
  'a quote': '"',
  'a wide quote, octet 22': '\u0122',
  'a backslash and a quote': '\\"',
  '%0d%0a': '%0d%0a',
  '%00': '%00',
  '%3e': '%3e',
  'a space': ' ',
  'a second host': '@evil.example',
  'headers of a URI': '?X-Evil=1&Route=%3csip:evil.example%3e',
  'a comma': ',<sip:evil.example>',
};
const hostile = (name: string): string => `${ENDS[name] ?? ''}${EVIL}`;

/** Why these octets must not have been sent; written without the product's parser. */
const flawOf = (raw: Buffer): string | undefined => {
  const [head = ''] = raw.toString('latin1').split('\r\n\r\n');
  const [start = '', ...lines] = head.split('\r\n');
  if (!/^[A-Z]+ [!#-;=?-~\x80-\xff]+ SIP\/2\.0$/.test(start)) return `start line: ${start}`;
  if (/[\r\n\0]/.test(lines.join(''))) return 'half a line end, or NUL';
  if (lines.some((line) => /^(x-evil|\s)/i.test(line) || !/^[A-Za-z-]+: /.test(line))) return `a line: ${head}`;
  const names = lines.map((line) => line.slice(0, line.indexOf(':')).toLowerCase());
  for (const name of ['via', 'from', 'to', 'call-id', 'cseq', 'contact', 'max-forwards', 'content-length'])
    if (names.filter((one) => one === name).length !== 1) return `not one ${name}`;
  if (names.includes('route') && !head.includes('Route: <sip:127.45.2.1')) return 'a Route of its own';
  const from = lines.find((line) => line.startsWith('From: ')) ?? '';
  return /^From: ("(?:[^"\\]|\\.)*" ?)?<[^<>"\s]*>;tag=[\w-]+$/.test(from) ? undefined : from;
};

const NOTHING: OutgoingEvents = new Proxy({} as OutgoingEvents, { get: () => () => undefined });

/** Where text may get to in an INVITE of ours, with a good value elsewhere. */
const PLACES: { readonly [name: string]: (text: string, base: InviteSpec) => InviteSpec } = {
  'the user of the URI': (text, base) => ({ ...base, uri: `sip:9${text}@${TOWN.carrier}:${PORTS.carrier}` }),
  'a parameter of the URI': (text, base) => ({ ...base, uri: `${base.uri};x=${text}` }),
  'the name in From': (text, base) => ({ ...base, from: `"${text}" <sip:1@${ADDRESS}>` }),
  'the user of From': (text, base) => ({ ...base, from: `<sip:1${text}@${ADDRESS}>` }),
  'the user of To': (text, base) => ({ ...base, to: `<sip:1${text}@${ADDRESS}>` }),
  "a header's value": (text, base) => ({ ...base, headers: [['X-Good', `a${text}`]] }),
  "a header's name": (text, base) => ({ ...base, headers: [[`X-Good${text}`, 'a']] }),
  'a Contact': (text, base) => ({ ...base, headers: [['Alert-Info', `<http://x/${text}>`]] }),
};

t.test(`S11: ${Object.keys(ENDS).length} texts in ${Object.keys(PLACES).length} places of an INVITE`, async (t) => {
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, routing: townRouting(PORTS) });
  const telco = await peerAt(TOWN.carrier, PORTS.carrier);
  t.teardown(async () => {
    await rig.close();
    await telco.close();
  });
  const uri = `sip:9@${TOWN.carrier}:${PORTS.carrier}`;
  const base: InviteSpec = { uri, from: `<sip:1@${ADDRESS}>`, to: `<${uri}>` };
  let sent = 0;
  for (const [place, put] of Object.entries(PLACES)) {
    for (const name of Object.keys(ENDS)) {
      const before = telco.received.length;
      rig.port.invite(put(hostile(name), base), NOTHING);
      // A good one behind it: what was sent before has come when this has.
      rig.port.invite({ ...base, to: '<sip:fence@x.example>' }, NOTHING);
      for (let fenced = false; !fenced;) {
        const request = await telco.expectRequest('INVITE');
        fenced = request.message.raw.includes('To: <sip:fence@x.example>');
        request.respond(486);
      }
      for (const { raw, isRequest, method } of telco.received.slice(before)) {
        if (!isRequest || method !== 'INVITE') continue;
        sent++;
        t.equal(flawOf(raw) ?? '', '', `${place}: ${name}`);
      }
    }
  }
  t.ok(sent > Object.keys(ENDS).length, `${sent} were sent, all of them clean`);
});

t.test('S11: a variable of a flow in a REFER, and in the URL of a server', (t) => {
  const flow = checkFlow({
    id: 'flw_1',
    start: 'go',
    nodes: {
      go: { applet: 'transfer', params: { refer: 'sip:{{ custom.x }}@192.0.2.1' }, exits: { failed: 'bye' } },
      bye: { applet: 'hangup' },
    },
  });
  if (!flow.ok) throw new Error(JSON.stringify(flow.error));
  let referred = 0;
  for (const name of Object.keys(ENDS)) {
    let state = initialState(flow.value.flow, APPLETS, { ...FACTS, custom: { x: hostile(name) } });
    const effects: FlowEffect[] = [];
    for (const event of [{ type: 'started' }, { type: 'answered' }] as const) {
      const done = advance(state, event, 0);
      state = done.state;
      effects.push(...done.effects);
    }
    for (const effect of effects) {
      if (effect.type !== 'refer') continue;
      referred++;
      t.match(effect.uri, /^sip:[A-Za-z0-9%._~!*'()-]*@192\.0\.2\.1$/, name);
    }
  }
  t.equal(referred, Object.keys(ENDS).length, 'each went out, escaped');
  t.end();
});

t.test('S11: what a server says to call', async (t: Test) => {
  const holder = new TableHolder();
  const document = validateDocument(structuredClone(townRouting(PORTS)));
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  await holder.apply({ kind: 'full', revision: '1', batches: [flatten(document.value)] });
  const { decision } = callRecord({});
  const origin = {
    decision,
    request: { sourceAddress: TOWN.carrier, sourcePort: 1, transport: 'udp', calledNumber: NUMBER, callerNumber: '+1' },
  };
  const random = { next: () => 0.5 };
  let said = 0;
  for (const name of Object.keys(ENDS)) {
    const text = hostile(name);
    const texts = [
      text,
      `sip:a${text}@192.0.2.1`,
      `sip:a@192.0.2.1${text}`,
      `sip:a@192.0.2.1;x=${text}`,
      `+91${text}`,
      `sip:${text}`,
    ];
    for (const number of texts) {
      const plan = planOfAnswer(JSON.stringify({ destination: { numbers: [number] } }), {
        customParameters: [],
      } as never);
      if (!plan.ok) continue;
      for (const target of plan.value.targets) {
        const to = decideDial(holder.current, origin as never, { target, callerId: undefined }, {
          random,
          nowMs: 0,
        } as never);
        for (const { uri } of to.destinations) {
          said++;
          t.match(uri, /^sips?:[!#-;=?-~]+$/i, `${name}: no bracket, no quote, no control`);
          t.notMatch(uri.slice(uri.lastIndexOf('@')), /\?/, "no headers of the URI's own");
          t.equal(uri.indexOf('@'), uri.lastIndexOf('@'), 'one host');
        }
      }
    }
    t.notOk(isCallerId(text) || isCallerId(`+1${text}`), `${name} is no caller ID`);
    t.notOk(targetOf(`+1${text}`)?.kind === 'number', `${name} is no number`);
  }
  t.ok(said > 0, `${said} could be called`);
});

t.test('S11: text that is written by us stays in its line', (t) => {
  for (const name of Object.keys(ENDS)) {
    const octets = Buffer.from(cleanText(hostile(name)), 'latin1');
    t.notOk(
      octets.some((octet) => octet < 0x20 || octet === 0x7f),
      name,
    );
    t.match(
      Buffer.from(escapeUser(hostile(name)), 'latin1').toString('latin1'),
      /^[A-Za-z0-9\-_.!~*'()&=+$,%]*$/,
      name,
    );
  }
  t.end();
});

t.test('S11: bodies of the API: refused, or kept to what they are', async (t) => {
  const FROM = '+918040000001';
  const orders: unknown[] = [];
  const { decision } = callRecord({});
  const rig = await adminRig(
    { accounts: [{ sid: 'acme', api_keys: [{ key: 'acme', token: 't' }] }] },
    '192.0.2.65:31000',
    {
      liveCall: () => undefined,
      hangUp: () => false,
      originate: (order) => {
        orders.push(order);
        return { ok: true, value: { callId: 'c', decision: { ...decision, accepted: true } } };
      },
    },
  );
  t.teardown(() => rig.close());
  const trunk = { trunk_name: 'pbx', whitelisted_ips: [], destination_uris: [] };
  for (const name of Object.keys(ENDS)) {
    const text = hostile(name);
    for (const body of [
      { from: `${FROM}${text}`, to: '+919812345678', flow: 'flw' },
      { from: FROM, to: '+919812345678', flow: 'flw', custom: { [text]: 'x' } },
    ]) {
      const { status } = await rig.ask('POST', '/api/calls', { as: 'acme:t', body });
      t.ok(status === 400 || status === 422, `${name}: ${status}`);
    }
    const put = await rig.ask('PUT', '/api/trunks/trk_x', {
      as: 'acme:t',
      body: {
        ...trunk,
        account_sid: 'acme',
        domain_name: `a${text}`,
        destination_uris: [{ destination: `192.0.2.1:5060${text}` }],
      },
    });
    t.ok(put.status >= 400 && put.status < 500, `${name} in a destination and a domain: ${put.status}`);
  }
  t.equal(orders.length, 0);
  t.same(rig.errors, []);
});
