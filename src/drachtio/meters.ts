/** What drachtio-server counts, under its names, in the text format of Prometheus. */

/** Upper bounds in seconds of the histograms, as drachtio-server has them. */
const ANSWER_BUCKETS = [1, 3, 6, 10, 15, 20, 30, 45, 60, 120];
const PDD_BUCKETS = [1, 2, 3, 5, 7, 10, 15, 20];

class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    for (let i = 0; i < this.#bounds.length; i++) {
      if (seconds <= (this.#bounds[i] as number)) this.#counts[i] = (this.#counts[i] as number) + 1;
    }
  }

  render(name: string, help: string): string {
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    this.#bounds.forEach((bound, i) => lines.push(`${name}_bucket{le="${bound}"} ${this.#counts[i]}`));
    lines.push(`${name}_bucket{le="+Inf"} ${this.#count}`, `${name}_sum ${this.#sum}`, `${name}_count ${this.#count}`);
    return lines.join('\n');
  }
}

/** Methods beyond these are counted together, so that nobody fills the memory with names. */
const MAX_SERIES = 200;

const bump = (counts: Map<string, number>, key: string): void => {
  const known = counts.get(key);
  if (known !== undefined || counts.size < MAX_SERIES) counts.set(key, (known ?? 0) + 1);
  else counts.set('other', (counts.get('other') ?? 0) + 1);
};

const labels = (names: readonly string[], key: string): string =>
  `{${key
    .split(' ')
    .map((value, i) => `${names[i] ?? 'other'}="${value.replace(/[^\w.-]/g, '_')}"`)
    .join(',')}}`;

export class Meters {
  readonly #requestsIn = new Map<string, number>();
  readonly #requestsOut = new Map<string, number>();
  readonly #responsesIn = new Map<string, number>();
  readonly #responsesOut = new Map<string, number>();
  readonly #answerIn = new Histogram(ANSWER_BUCKETS);
  readonly #answerOut = new Histogram(ANSWER_BUCKETS);
  readonly #pddIn = new Histogram(PDD_BUCKETS);
  readonly #pddOut = new Histogram(PDD_BUCKETS);

  requestIn(method: string): void {
    bump(this.#requestsIn, method);
  }

  requestOut(method: string): void {
    bump(this.#requestsOut, method);
  }

  responseIn(method: string, status: number): void {
    bump(this.#responsesIn, `${method} ${status}`);
  }

  responseOut(method: string, status: number): void {
    bump(this.#responsesOut, `${method} ${status}`);
  }

  /** @param way of the INVITE; `ms` from it to its first ringing (pdd) or to its 2xx (answer) */
  timed(way: 'in' | 'out', what: 'pdd' | 'answer', ms: number): void {
    const histogram =
      what === 'pdd' ? (way === 'in' ? this.#pddIn : this.#pddOut) : way === 'in' ? this.#answerIn : this.#answerOut;
    histogram.observe(ms / 1000);
  }

  render(): string[] {
    const method = ['method'];
    const both = ['method', 'code'];
    return [
      counter('drachtio_sip_requests_in_total', 'requests from the network', method, this.#requestsIn),
      counter('drachtio_sip_requests_out_total', 'requests to the network', method, this.#requestsOut),
      counter('drachtio_sip_responses_in_total', 'responses from the network', both, this.#responsesIn),
      counter('drachtio_sip_responses_out_total', 'responses to the network', both, this.#responsesOut),
      this.#answerIn.render('drachtio_call_answer_seconds_in', 'time to answer of calls received'),
      this.#answerOut.render('drachtio_call_answer_seconds_out', 'time to answer of calls sent'),
      this.#pddIn.render('drachtio_call_pdd_seconds_in', 'post-dial delay of calls received'),
      this.#pddOut.render('drachtio_call_pdd_seconds_out', 'post-dial delay of calls sent'),
    ];
  }
}

const counter = (name: string, help: string, names: readonly string[], counts: ReadonlyMap<string, number>): string =>
  [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} counter`,
    ...[...counts].map(([key, count]) => `${name}${labels(names, key)} ${count}`),
  ].join('\n');

/** @param values label set (`{type="inbound"}`, or nothing) to value */
export const gauge = (name: string, help: string, values: Readonly<Record<string, number>>): string =>
  [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...Object.entries(values).map(([labelSet, value]) => `${name}${labelSet} ${value}`),
  ].join('\n');
