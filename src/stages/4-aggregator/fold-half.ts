import { type Entry, type Frame, type Outcome, outcomes, partials, type RoutingTable, type Score, scores, type Topic } from "../../../topics/index.ts";
import { readToken, tokenProblem } from "../../domain/outcomes/read-token.ts";
import { clampToAppend } from "../../domain/sampling/instance-book.ts";
import { Fold } from "../../domain/signals/fold.ts";
import { framesOf } from "../../domain/signals/frames.ts";
import { outcomeContribution } from "../../domain/signals/outcome-contributions.ts";
import { RecentIds } from "../../domain/signals/recent-ids.ts";
import { scoreContributions } from "../../domain/signals/score-contributions.ts";
import { SeriesLimit } from "../../domain/signals/series-limit.ts";
import {
  type Batch,
  type Committed,
  type Incoming,
  type LogClient,
  type Outgoing,
  ParkError,
  type Task,
  type TaskContext,
  type TaskRole,
} from "../../runtime/port.ts";
import type { SealedTokens } from "../../runtime/sealed-tokens.ts";
import type { AggregatorMetrics } from "./metrics.ts";

export interface FoldDeps {
  readonly partitionFor: LogClient["partitionFor"];
  readonly flushEveryMs: number;
  readonly metrics: AggregatorMetrics;
  /** null: no key is configured; outcomes go to the dead-letter topic. */
  readonly tokens: SealedTokens | null;
  readonly tableOf: (route: string) => Pick<RoutingTable, "outcomes"> | undefined;
}

/** scores, outcomes -> partials: folds what evaluators and other systems said into the panes of the calls they spoke about. */
export function foldHalf(deps: FoldDeps): TaskRole {
  return {
    name: "aggregator-fold",
    inputs: [scores, outcomes],
    flushEveryMs: deps.flushEveryMs,
    flushRecords: 5_000,
    createTask: (context) => new FoldTask(deps, context),
  };
}

/** One partition of one input: what was folded of it since the last frame. */
class SourceFold {
  readonly topic: Topic;
  readonly fold: Fold;
  recent = new RecentIds();
  #from = 0;
  #to = 0;

  constructor(topic: Topic, limit: SeriesLimit) {
    this.topic = topic;
    this.fold = new Fold(limit);
  }

  start(committed: Committed | undefined): void {
    this.recent = RecentIds.decode(committed?.metadata ?? "");
    this.#from = committed?.offset ?? 0;
    this.#to = this.#from;
  }

  passed(offset: number): void {
    this.#to = Math.max(this.#to, offset + 1);
  }

  get isIdle(): boolean {
    return this.#to === this.#from;
  }

  /** Frames of everything since the last ones, by partition of routes. */
  drain(sourcePartition: number, partitionOf: (route: string) => number): [partition: number, frame: Frame][] {
    const parts = Map.groupBy(this.fold.drain(), ({ route }: Entry) => partitionOf(route));
    const source = { source: this.topic.name, sourcePartition, fromOffset: this.#from, toOffset: this.#to, watermarkMs: null };
    this.#from = this.#to;
    return [...parts].flatMap(([partition, entries]) => framesOf(source, entries).map((frame): [number, Frame] => [partition, frame]));
  }
}

class FoldTask implements Task {
  readonly #deps: FoldDeps;
  readonly #context: TaskContext;
  readonly #scores: SourceFold;
  readonly #outcomes: SourceFold;

  constructor(deps: FoldDeps, context: TaskContext) {
    const limit = new SeriesLimit();
    this.#deps = deps;
    this.#context = context;
    this.#scores = new SourceFold(scores, limit);
    this.#outcomes = new SourceFold(outcomes, limit);
  }

  start(committed: ReadonlyMap<string, Committed>): undefined {
    for (const source of [this.#scores, this.#outcomes]) source.start(committed.get(source.topic.name));
  }

  take(record: Incoming): void {
    if (record.topic === outcomes.name) {
      if (record.value !== null) this.#takeOutcome(record.value as Outcome, record.appendedAtMs);
      this.#outcomes.passed(record.offset);
    } else {
      if (record.value !== null) this.#takeScore(record.value as Score);
      this.#scores.passed(record.offset);
    }
  }

  parked(topic: string, offset: number): void {
    (topic === outcomes.name ? this.#outcomes : this.#scores).passed(offset);
  }

  #takeScore(score: Score): void {
    const { metrics } = this.#deps;
    if (!this.#scores.recent.isNew(score.scoreId)) {
      metrics.repeats.inc();
      return;
    }
    for (const { status } of score.results) metrics.scores.inc({ status });
    const refused = this.#scores.fold.add(score, scoreContributions(score));
    if (refused > 0) metrics.refusedSeries.inc({ route: score.route }, refused);
  }

  /** @throws {ParkError} when the token does not hold */
  #takeOutcome({ token, signal, value }: Outcome, appendedAtMs: number): void {
    const { metrics, tokens, tableOf } = this.#deps;
    if (tokens === null) throw new ParkError("token cannot be opened: HEADGATE_TOKEN_KEY is not set on this aggregator");
    const read = readToken(tokens.open(token), appendedAtMs);
    if (read.kind === "refused") {
      metrics.outcomes.inc({ result: read.why === "expired" ? "expired" : "refused" });
      if (read.why === "expired") return;
      throw new ParkError(`token ${tokenProblem(read.why)}`);
    }
    const { call } = read;
    const declared = tableOf(call.route)?.outcomes.find((each) => each.signal === signal);
    // A signal that no spec declares: nobody asked for it, and its names could be anything. One call has one outcome of a signal, under whichever id.
    const isCounted = declared !== undefined && this.#outcomes.recent.isNew(`${call.requestId} ${signal}`);
    metrics.outcomes.inc({ result: isCounted ? "counted" : declared === undefined ? "undeclared" : "repeat" });
    if (!isCounted) return;
    // The token was made when the call began: that, not its end, is the event time of an outcome.
    const endedAtMs = clampToAppend(call.startedAtMs, appendedAtMs).atMs;
    const refused = this.#outcomes.fold.add({ ...call, endedAtMs }, [outcomeContribution(declared, value)]);
    if (refused > 0) metrics.refusedSeries.inc({ route: call.route }, refused);
  }

  flush(): Batch | null {
    const sources = [this.#scores, this.#outcomes];
    if (sources.every(({ isIdle }) => isIdle)) return null;
    const { partition } = this.#context;
    const outputs = sources.flatMap((source) =>
      source
        .drain(partition, (route) => this.#deps.partitionFor(partials, route))
        .map(([to, value]): Outgoing => ({ topic: partials, partition: to, key: null, value })),
    );
    return { outputs, offsets: Object.fromEntries(sources.map(({ topic, recent }) => [topic.name, { metadata: recent.encode() }])) };
  }
}
