import { type Entry, partials, type Score, scores } from "../../../topics/index.ts";
import { Fold } from "../../domain/signals/fold.ts";
import { framesOf } from "../../domain/signals/frames.ts";
import { RecentIds } from "../../domain/signals/recent-ids.ts";
import { scoreContributions } from "../../domain/signals/score-contributions.ts";
import { SeriesLimit } from "../../domain/signals/series-limit.ts";
import type { Batch, Committed, Incoming, LogClient, Outgoing, Task, TaskContext, TaskRole } from "../../runtime/port.ts";
import type { AggregatorMetrics } from "./metrics.ts";

export interface FoldDeps {
  readonly partitionFor: LogClient["partitionFor"];
  readonly flushEveryMs: number;
  readonly metrics: AggregatorMetrics;
}

/** scores -> partials: folds what the evaluators said into the panes of the calls they spoke about. */
export function foldHalf(deps: FoldDeps): TaskRole {
  return {
    name: "aggregator-fold",
    inputs: [scores],
    flushEveryMs: deps.flushEveryMs,
    flushRecords: 5_000,
    createTask: (context) => new FoldTask(deps, context),
  };
}

class FoldTask implements Task {
  readonly #deps: FoldDeps;
  readonly #context: TaskContext;
  readonly #fold = new Fold(new SeriesLimit());
  #recent = new RecentIds();
  #from = 0;
  #to = 0;

  constructor(deps: FoldDeps, context: TaskContext) {
    this.#deps = deps;
    this.#context = context;
  }

  start(committed: ReadonlyMap<string, Committed>): undefined {
    const last = committed.get(scores.name);
    this.#recent = RecentIds.decode(last?.metadata ?? "");
    this.#from = last?.offset ?? 0;
    this.#to = this.#from;
  }

  take(record: Incoming): void {
    this.#to = record.offset + 1;
    if (record.value === null) return;
    const score = record.value as Score;
    const { metrics } = this.#deps;
    if (!this.#recent.isNew(score.scoreId)) {
      metrics.repeats.inc();
      return;
    }
    for (const { status } of score.results) metrics.scores.inc({ status });
    const refused = this.#fold.add(score, scoreContributions(score));
    if (refused > 0) metrics.refusedSeries.inc({ route: score.route }, refused);
  }

  flush(): Batch | null {
    if (this.#to === this.#from) return null;
    const parts = Map.groupBy(this.#fold.drain(), ({ route }: Entry) => this.#deps.partitionFor(partials, route));
    const source = { source: "scores", sourcePartition: this.#context.partition, fromOffset: this.#from, toOffset: this.#to, watermarkMs: null };
    const outputs = [...parts].flatMap(([partition, entries]) =>
      framesOf(source, entries).map((value): Outgoing => ({ topic: partials, partition, key: null, value })),
    );
    this.#from = this.#to;
    return { outputs, offsets: { [scores.name]: { metadata: this.#recent.encode() } } };
  }
}
