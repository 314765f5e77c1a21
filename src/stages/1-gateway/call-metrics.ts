import { Counter, type Metric, type Registry } from "prom-client";
import type { CallRecord } from "./call/record.ts";

const seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/** Bounds that the OpenTelemetry conventions recommend. */
const tokens = Array.from({ length: 14 }, (_, i) => 4 ** i);

type Labels = Readonly<Record<string, string>>;

/** What was observed of one series, by bucket. */
class Observed {
  readonly labels: Labels;
  readonly #bounds: readonly number[];
  /** One more than bounds: what lies above the last. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** As the registry writes them: how many were at most each bound, the sum and the count. */
  values(name: string) {
    let count = 0;
    const buckets = this.#counts.map((inBucket, i) => {
      count += inBucket;
      return { labels: { le: this.#bounds[i] ?? "+Inf", ...this.labels }, value: count, metricName: `${name}_bucket` };
    });
    const { labels } = this;
    return [...buckets, { labels, value: this.#sum, metricName: `${name}_sum` }, { labels, value: count, metricName: `${name}_count` }];
  }
}

/**
 * A histogram with labels whose series are looked up once and then kept by whoever observes: finding a series by its labels, as prom-client does for
 * every observation, costs more than all else that is counted of a call.
 */
class SeriesHistogram {
  readonly type = "histogram";
  readonly aggregator = "sum";
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  readonly #series: Observed[] = [];

  /** @param about `buckets`: upper bounds, ascending */
  constructor(about: { readonly name: string; readonly help: string; readonly buckets: readonly number[] }, registry: Registry) {
    this.name = about.name;
    this.help = about.help;
    this.#bounds = about.buckets;
    // The registry only ever calls `get`.
    registry.registerMetric(this as unknown as Metric);
  }

  series(labels: Labels): Observed {
    const observed = new Observed(labels, this.#bounds);
    this.#series.push(observed);
    return observed;
  }

  async get() {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#series.flatMap((observed) => observed.values(name)) };
  }
}

/** What is counted of the calls of one version under one attribution. */
interface Series {
  readonly labels: Labels;
  /** Calls by status since they were last asked for. */
  readonly calls: Map<string, number>;
  readonly duration: Observed;
  ttft: Observed | null;
  input: Observed | null;
  output: Observed | null;
}

/** What is counted of every call: the one place where counting is on the way of each. */
export class CallMetrics {
  readonly #duration: SeriesHistogram;
  readonly #ttft: SeriesHistogram;
  readonly #tokens: SeriesHistogram;
  readonly #series = new Map<string, Series>();

  constructor(registry: Registry) {
    const series = this.#series;
    new Counter({
      name: "headgate_gateway_calls_total",
      help: "Completed calls.",
      labelNames: ["route", "version", "arm", "exposure", "status"],
      registers: [registry],
      collect() {
        for (const { labels, calls } of series.values()) {
          for (const [status, count] of calls) this.inc({ ...labels, status }, count);
          calls.clear();
        }
      },
    });
    const duration = { name: "gen_ai_client_operation_duration_seconds", help: "Start of a call to its last byte.", buckets: seconds };
    const first = "gen_ai_client_operation_time_to_first_chunk_seconds";
    const usage = { name: "gen_ai_client_token_usage", help: "Tokens of a call as its upstream reported them.", buckets: tokens };
    this.#duration = new SeriesHistogram(duration, registry);
    this.#ttft = new SeriesHistogram({ name: first, help: "Start of a streamed call to its first content.", buckets: seconds }, registry);
    this.#tokens = new SeriesHistogram(usage, registry);
  }

  completed(record: CallRecord): void {
    const series = this.#of(record);
    series.calls.set(record.status, (series.calls.get(record.status) ?? 0) + 1);
    series.duration.observe(record.latencyMs / 1000);
    if (record.ttftMs !== null) {
      series.ttft ??= this.#ttft.series(series.labels);
      series.ttft.observe(record.ttftMs / 1000);
    }
    if (record.inputTokens !== null) {
      series.input ??= this.#tokens.series({ ...series.labels, gen_ai_token_type: "input" });
      series.input.observe(record.inputTokens);
    }
    if (record.outputTokens !== null) {
      series.output ??= this.#tokens.series({ ...series.labels, gen_ai_token_type: "output" });
      series.output.observe(record.outputTokens);
    }
  }

  #of({ route, version, arm, exposure }: CallRecord): Series {
    const key = `${route}\n${version}\n${arm}\n${exposure}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      const labels = { route, version, arm, exposure };
      series = { labels, calls: new Map(), duration: this.#duration.series(labels), ttft: null, input: null, output: null };
      this.#series.set(key, series);
    }
    return series;
  }
}
