/**
 * Two offers that are made each other's answer (RFC 3264 §6), stream by stream: whoever made the one takes part with whoever
 * made the other, and neither has to be asked again. Only streams of plain RTP: of keys and candidates an answer depends
 * on the offer that it is to, so that they cannot be anybody else's.
 */

export interface MutualAnswers {
  readonly toFirst: string;
  readonly toSecond: string;
}

/** Longer ones are not looked at. */
const MAX_LENGTH = 16_384;
const MAX_STREAMS = 16;

const PLAIN: ReadonlySet<string> = new Set(['RTP/AVP', 'RTP/AVPF']);
/** RFC 3551 §6: what payload types mean that say nothing of it. */
const STATIC: { readonly [format: string]: string } = {
  '0': 'pcmu/8000',
  '3': 'gsm/8000',
  '4': 'g723/8000',
  '8': 'pcma/8000',
  '9': 'g722/8000',
  '13': 'cn/8000',
  '15': 'g728/8000',
  '18': 'g729/8000',
  '26': 'jpeg/90000',
  '31': 'h261/90000',
  '34': 'h263/90000',
};
/** Nobody can be heard by these alone. */
const AUXILIARY = /^(?:telephone-event|cn)\//;
/** Their parameters are each end's own affair; those of any other codec must be the same at both. */
const OWN_PARAMETERS = /^(?:telephone-event|opus|g729)\//;
/** What crosses of a stream, beside its formats and direction. */
const KEPT = /^(?:[cbi]=|a=(?:ptime|maxptime|rtcp):)/;

interface Format {
  readonly format: string;
  readonly codec: string;
  readonly parameters: string;
}

interface Stream {
  readonly media: string;
  readonly port: string;
  readonly protocol: string;
  /** As listed. */
  readonly listed: string;
  readonly lines: readonly string[];
  readonly formats: readonly Format[];
  readonly sends: boolean;
  readonly receives: boolean;
}

interface Description {
  readonly session: readonly string[];
  readonly streams: readonly Stream[];
}

/** @returns undefined where no stream of the one fits any of the other */
export const mutualAnswers = (first: string, second: string): MutualAnswers | undefined => {
  const [one, other] = [read(first), read(second)];
  if (one === undefined || other === undefined) return undefined;
  const pairs = one.streams.map(() => -1);
  const taken = new Set<number>();
  one.streams.forEach((stream, i) => {
    const j = other.streams.findIndex((each, at) => !taken.has(at) && fit(stream, each));
    if (j < 0) return;
    pairs[i] = j;
    taken.add(j);
  });
  if (taken.size === 0) return undefined;
  return {
    toFirst: write(one, other, (i) => other.streams[pairs[i] ?? -1]),
    toSecond: write(other, one, (j) => one.streams[pairs.indexOf(j)]),
  };
};

const read = (text: string): Description | undefined => {
  if (text.length > MAX_LENGTH || !text.startsWith('v=0')) return undefined;
  const session: string[] = [];
  const sections: string[][] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('m=')) sections.push([line]);
    else if (line !== '') (sections.at(-1) ?? session).push(line);
  }
  if (sections.length > MAX_STREAMS) return undefined;
  return { session, streams: sections.map((lines) => streamOf(lines, session)) };
};

const DIRECTION = /^a=(sendrecv|sendonly|recvonly|inactive)$/;

const streamOf = ([head = '', ...lines]: readonly string[], session: readonly string[]): Stream => {
  const [media = '', port = '', protocol = '', ...formats] = head.slice(2).split(' ');
  const way = [...session, ...lines].flatMap((line) => DIRECTION.exec(line)?.[1] ?? []).at(-1);
  const attribute = (name: string, format: string): string | undefined => {
    const start = `a=${name}:${format} `;
    return lines
      .find((line) => line.startsWith(start))
      ?.slice(start.length)
      .trim();
  };
  return {
    media,
    port,
    protocol,
    listed: formats.join(' '),
    lines,
    formats: formats.slice(0, 64).flatMap((format) => {
      const codec = attribute('rtpmap', format)?.toLowerCase().replace(/\/1$/, '') ?? STATIC[format];
      return codec === undefined ? [] : [{ format, codec, parameters: attribute('fmtp', format) ?? '' }];
    }),
    sends: way !== 'recvonly' && way !== 'inactive',
    receives: way !== 'sendonly' && way !== 'inactive',
  };
};

const same = (one: Format, other: Format): boolean =>
  one.codec === other.codec && (one.parameters === other.parameters || OWN_PARAMETERS.test(one.codec));

const shared = (own: Stream, other: Stream): readonly Format[] =>
  own.formats.filter((format) => other.formats.some((each) => same(format, each)));

const fit = (one: Stream, other: Stream): boolean =>
  PLAIN.has(one.protocol) &&
  one.protocol === other.protocol &&
  one.media === other.media &&
  /^[1-9]\d*$/.test(one.port) &&
  /^[1-9]\d*$/.test(other.port) &&
  shared(one, other).some(({ codec }) => !AUXILIARY.test(codec));

/** The answer to `offer`, of what `own` describes. @param partner the stream of it for one of the offer's, by its place */
const write = (offer: Description, own: Description, partner: (place: number) => Stream | undefined): string => {
  const lines = own.session.filter((line) => !/^[ak]=/.test(line));
  offer.streams.forEach((asked, place) => {
    const stream = partner(place);
    // RFC 3264 §6: each stream of the offer has its place in the answer; port 0 refuses it.
    if (stream === undefined) lines.push(`m=${asked.media} 0 ${asked.protocol} ${asked.listed}`);
    else lines.push(...answered(asked, stream));
  });
  return `${lines.join('\r\n')}\r\n`;
};

const answered = (asked: Stream, own: Stream): readonly string[] => {
  const formats = shared(own, asked).map(({ format }) => format);
  const described = (line: string): boolean =>
    formats.includes(/^a=(?:rtpmap|fmtp):(\S+) /.exec(line)?.[1] ?? ' ') || KEPT.test(line);
  const [sends, receives] = [own.sends && asked.receives, own.receives && asked.sends];
  const way = sends ? (receives ? 'sendrecv' : 'sendonly') : receives ? 'recvonly' : 'inactive';
  // RFC 5761 §5.1.1: only where it was offered, too.
  const muxed = [asked, own].every(({ lines }) => lines.includes('a=rtcp-mux'));
  return [
    `m=${own.media} ${own.port} ${own.protocol} ${formats.join(' ')}`,
    ...own.lines.filter(described),
    ...(muxed ? ['a=rtcp-mux'] : []),
    `a=${way}`,
  ];
};
