import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallRecord } from '../call/record/cdr.js';
import { formatDecision } from '../call/routing/explain.js';
import { type Config, parseHostPort, sipListeners } from '../config/index.js';
import { type Clock, SystemClock, SystemRandom, TandemError } from '../kernel/index.js';
import { NodeNetwork, SystemResolver } from '../net/index.js';
import { type Dialog, type EngineHandler, type IncomingInvite, type SipEngine, createEngine } from '../sip/index.js';
import { type Options, readOptions, required } from './arguments.js';
import { LadderPrinter } from './ladder.js';
import { type Heard, TONE_HZ, Talker } from './talker.js';

const OFFER = (address: string): Buffer =>
  Buffer.from(
    `v=0\r\no=- 1 1 IN IP4 ${address}\r\ns=-\r\nc=IN IP4 ${address}\r\nt=0 0\r\n` +
      'm=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n',
  );

const IDLE: EngineHandler = {
  onInvite: (invite) => void invite.respond(486),
  onRequest: (request) => void request.respond(405),
};

interface Placed {
  readonly callId: string;
  readonly status: number;
}

/**
 * `tandem call`: places one call from --from to --to through the exchange, answers it at --answer when given, and
 * prints both sides as a ladder, then the decision and the call record that the exchange wrote.
 */
export const call = async (config: Config, argv: readonly string[]): Promise<number> => {
  const options = readOptions('call', argv, ['from', 'to', 'caller', 'via', 'answer', 'talk', 'talk-tone']);
  const clock = new SystemClock();
  const ladder = new LadderPrinter(clock, (text) => process.stdout.write(text));
  const via = options['via'] ?? exchangeOf(config);
  const from = required('call', options, 'from');
  ladder.title(`caller ${from}`, `tandem ${via}`, options['answer'] === undefined ? '' : `callee ${options['answer']}`);
  const engines: SipEngine[] = [];
  const toneSeconds = options['talk-tone'];
  const talker = toneSeconds === undefined ? undefined : await Talker.bind(from, new SystemRandom());
  try {
    if (options['answer'] !== undefined) engines.push(await answering(clock, options['answer'], ladder));
    const placed = await place({ clock, ladder, options, via, engines, talker });
    if (talker !== undefined) process.stdout.write(describeHeard(await talker.close()));
    const record = await findRecord(config, clock, placed.callId);
    process.stdout.write(record === undefined ? noRecord(config) : `\n${describe(record)}`);
    return placed.status >= 200 && placed.status < 300 ? 0 : 2;
  } finally {
    await talker?.close();
    for (const engine of engines) engine.stop();
  }
};

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const describeHeard = ({ toneMs, otherMs, packets }: Heard): string =>
  `\nSent ${TONE_HZ} Hz; heard ${TONE_HZ} Hz for ${seconds(toneMs)}, other sound for ${seconds(otherMs)}` +
  ` (${packets} RTP packets came back)\n`;

const exchangeOf = (config: Config): string => {
  const listener = sipListeners(config).find((one) => one.transport === 'udp') ?? sipListeners(config)[0];
  if (listener === undefined)
    throw new TandemError({ code: 'bad_arguments', message: 'tandem call: --via is missing' });
  return `${listener.host}:${listener.port}`;
};

const engineAt = (clock: Clock, address: string, port: number, handler: EngineHandler): Promise<SipEngine> =>
  createEngine({
    network: new NodeNetwork({ clock }),
    clock,
    random: new SystemRandom(),
    resolver: new SystemResolver({ clock }),
    listen: [{ transport: 'udp', address, port }],
    userAgent: 'tandem-call',
    handler,
  });

/** The other end: rings, answers, and is hung up on. */
const answering = (clock: Clock, at: string, ladder: LadderPrinter): Promise<SipEngine> => {
  const place = parseHostPort(at);
  if (place === undefined) {
    throw new TandemError({ code: 'bad_arguments', message: `tandem call: --answer ${at} is not HOST:PORT` });
  }
  const onInvite = (invite: IncomingInvite): void => {
    ladder.arrow('right', '>', `INVITE ${invite.request.uri.split('@')[0] ?? ''}`);
    invite.listener = {
      onCancel: () => ladder.arrow('right', '>', 'CANCEL'),
      onAck: () => ladder.arrow('right', '>', 'ACK'),
    };
    ladder.arrow('right', '<', '180 Ringing');
    invite.respond(180);
    clock.setTimer('answer', 200, () => {
      ladder.arrow('right', '<', '200 OK');
      invite.respond(200, { body: OFFER(place.host) });
      if (invite.dialog === undefined) return;
      invite.dialog.listener = {
        onRequest: (request) => {
          ladder.arrow('right', '>', request.request.method);
          request.respond(200);
          ladder.arrow('right', '<', '200 OK');
        },
        onInvite: (reinvite) => void reinvite.respond(488),
        onTerminated: () => {},
      };
    });
  };
  return engineAt(clock, place.host, place.port, { ...IDLE, onInvite });
};

interface Placing {
  readonly clock: Clock;
  readonly ladder: LadderPrinter;
  readonly options: Options;
  readonly via: string;
  readonly engines: SipEngine[];
  /** Sends and hears audio; undefined: the call is silent. */
  readonly talker: Talker | undefined;
}

const place = async (placing: Placing): Promise<Placed> => {
  const { clock, ladder, options, via, engines, talker } = placing;
  const from = required('call', options, 'from');
  const engine = await engineAt(clock, from, 0, IDLE);
  engines.push(engine);
  return new Promise((resolve, reject) => {
    const to = required('call', options, 'to');
    let callId = '';
    ladder.arrow('left', '>', `INVITE ${to}`);
    const invite = engine.invite(
      {
        uri: `sip:${to}@${via}`,
        from: `<sip:${options['caller'] ?? 'anonymous'}@localhost>`,
        body: talker?.offer ?? OFFER(from),
      },
      {
        onTrying: () => ladder.arrow('left', '<', '100 Trying'),
        onProvisional: (response) => ladder.arrow('left', '<', `${response.status} ${response.reason}`),
        onAnswered: (response, dialog) => {
          ladder.arrow('left', '<', `${response.status} ${response.reason}`);
          ladder.arrow('left', '>', 'ACK');
          dialog.ack();
          talker?.talk(response.body);
          talk(placing, dialog, () => resolve({ callId, status: 200 }));
        },
        onFailed: (response, origin) => {
          const note = origin === 'network' ? '' : ` (${origin}: nothing answered)`;
          ladder.arrow('left', '<', `${response.status} ${response.reason}${note}`);
          resolve({ callId, status: response.status });
        },
      },
    );
    if ('refusal' in invite) reject(new TandemError({ code: 'bad_arguments', message: invite.detail }));
    else callId = invite.request.callId;
  });
};

/** The call is up: until its time is over, or the exchange hangs up. */
const talk = ({ clock, ladder, options }: Placing, dialog: Dialog, done: () => void): void => {
  const talkMs = Math.min(3600, Number(options['talk-tone'] ?? options['talk'] ?? 1)) * 1000;
  const timer = clock.setTimer('talk', talkMs, () => {
    ladder.arrow('left', '>', 'BYE');
    const onResponse = (response: { readonly status: number; readonly reason: string }): void => {
      ladder.arrow('left', '<', `${response.status} ${response.reason}`);
      done();
    };
    dialog.request('BYE', {}, { onResponse });
  });
  dialog.listener = {
    onRequest: (request) => {
      const { method } = request.request;
      ladder.arrow('left', '<', method);
      request.respond(200);
      ladder.arrow('left', '>', '200 OK');
      if (method !== 'BYE') return;
      timer.cancel();
      done();
    },
    onInvite: (reinvite) => void reinvite.respond(488),
    onTerminated: () => {},
  };
};

// ---------------------------------------------------------------------------------------- what the exchange wrote

/** How much of the record file's end is searched: the call has just ended. */
const TAIL_BYTES = 4_000_000;
const LOOK_EVERY_MS = 50;
const LOOKS = 40;

const findRecord = async (config: Config, clock: Clock, callId: string): Promise<CallRecord | undefined> => {
  for (let look = 0; look < LOOKS; look++) {
    const line = (await tailOf(join(config.cdr.path, 'cdr.jsonl'))).split('\n').find((one) => one.includes(callId));
    if (line !== undefined) return JSON.parse(line) as CallRecord;
    await new Promise<void>((resolve) => clock.setTimer('look_for_record', LOOK_EVERY_MS, resolve));
  }
  return undefined;
};

const tailOf = async (path: string): Promise<string> => {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, TAIL_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
};

const noRecord = (config: Config): string =>
  `\nNo call record was found in ${config.cdr.path}: is the exchange running with this configuration?\n`;

const describe = (record: CallRecord): string => {
  const { decision, ...rest } = record;
  return `Decision\n${formatDecision(decision)}\n\nCall record\n${JSON.stringify(rest, null, 2)}\n`;
};
