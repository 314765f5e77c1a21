import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What the judge counts. No label is ever content. */
export class JudgeMetrics {
  /** outcome: answered, unparsable, refused, too_long, rejected, busy, outage, aborted */
  readonly calls: Counter<"outcome">;
  readonly retries: Counter;
  /** reason: as in `FailureClass` */
  readonly failures: Counter<"reason">;
  readonly scores: Counter<"status">;
  readonly cacheHits: Counter;
  readonly inFlight: Gauge;
  readonly waiting: Gauge;
  /** 0 closed, 1 half open, 2 open */
  readonly breaker: Gauge;
  readonly seconds: Histogram;
  readonly costUsd: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.calls = new Counter({ name: "headgate_judge_calls_total", help: "Calls to the judge model, by how they ended.", labelNames: ["outcome"], registers });
    this.retries = new Counter({ name: "headgate_judge_retries_total", help: "Calls that repeat one that failed or could not be read.", registers });
    this.failures = new Counter({
      name: "headgate_judge_failures_total",
      help: "Items that could not be judged: failures of the judge, never low scores.",
      labelNames: ["reason"],
      registers,
    });
    this.scores = new Counter({ name: "headgate_judge_scores_total", help: "Results, one per call and signal.", labelNames: ["status"], registers });
    this.cacheHits = new Counter({ name: "headgate_judge_cache_hits_total", help: "Items that were not asked since they had been judged before.", registers });
    this.inFlight = new Gauge({ name: "headgate_judge_in_flight", help: "Calls to the judge model under way.", registers });
    this.waiting = new Gauge({ name: "headgate_judge_waiting", help: "Calls that wait for a free place or for the endpoint.", registers });
    this.breaker = new Gauge({ name: "headgate_judge_breaker", help: "Circuit breaker of the endpoint: 0 closed, 1 half open, 2 open.", registers });
    this.seconds = new Histogram({
      name: "headgate_judge_call_seconds",
      help: "Duration of calls that were answered.",
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
      registers,
    });
    this.costUsd = new Counter({ name: "headgate_judge_cost_usd_total", help: "Cost of the judge in USD, when prices are configured.", registers });
  }
}
