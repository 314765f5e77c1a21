import { Counter, type Registry } from "prom-client";

/** What both halves of the aggregator count. */
export class AggregatorMetrics {
  readonly scores: Counter<"status">;
  /** result: counted, repeat, undeclared, expired, refused */
  readonly outcomes: Counter<"result">;
  readonly repeats: Counter;
  readonly refusedSeries: Counter<"route">;
  readonly blocks: Counter<"group">;
  readonly closes: Counter<"group">;
  readonly late: Counter;
  readonly forced: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.scores = new Counter({ name: "headgate_aggregator_results_total", help: "Results of evaluators folded.", labelNames: ["status"], registers });
    this.outcomes = new Counter({
      name: "headgate_aggregator_outcomes_total",
      help: "Downstream outcomes, by what became of them.",
      labelNames: ["result"],
      registers,
    });
    this.repeats = new Counter({ name: "headgate_aggregator_repeats_total", help: "Scores dropped because their id was seen before.", registers });
    this.refusedSeries = new Counter({
      name: "headgate_aggregator_refused_series_total",
      help: "Contributions refused because their route has 200 live series.",
      labelNames: ["route"],
      registers,
    });
    this.blocks = new Counter({ name: "headgate_aggregator_blocks_total", help: "Blocks written.", labelNames: ["group"], registers });
    this.closes = new Counter({ name: "headgate_aggregator_closes_total", help: "Panes and rounds closed.", labelNames: ["group"], registers });
    this.late = new Counter({
      name: "headgate_aggregator_late_total",
      help: "Entries that came after their pane was closed: written as later rounds.",
      registers,
    });
    this.forced = new Counter({
      name: "headgate_aggregator_forced_total",
      help: "Times at which panes were closed early because the frontier did not fit the commit metadata.",
      registers,
    });
  }
}
