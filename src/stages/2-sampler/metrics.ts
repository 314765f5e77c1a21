import { Counter, type Registry } from "prom-client";

/** What the sampler counts. Labels are never content, routes only where a person has to look at one. */
export class SamplerMetrics {
  readonly calls: Counter<"status">;
  readonly repeats: Counter;
  readonly lost: Counter;
  readonly unnumbered: Counter;
  readonly skewed: Counter;
  readonly refusedSeries: Counter<"route">;
  readonly brokenForms: Counter<"route">;
  readonly timedOutChecks: Counter<"route">;
  readonly cutCalls: Counter<"route">;
  readonly tableTimeouts: Counter<"route">;
  readonly samples: Counter<"arm">;
  readonly forgottenInstances: Counter;
  readonly subjects: Counter<"known">;

  constructor(registry: Registry) {
    const registers = [registry];
    this.calls = new Counter({ name: "headgate_sampler_calls_total", help: "Calls checked and folded.", labelNames: ["status"], registers });
    this.repeats = new Counter({
      name: "headgate_sampler_repeats_total",
      help: "Records dropped because their instance and number were seen before.",
      registers,
    });
    this.lost = new Counter({ name: "headgate_sampler_lost_total", help: "Records that never arrived: numbers that an instance skipped.", registers });
    this.unnumbered = new Counter({
      name: "headgate_sampler_unnumbered_total",
      help: "Records of writers without numbers: their repeats cannot be told.",
      registers,
    });
    this.skewed = new Counter({
      name: "headgate_sampler_clock_skew_total",
      help: "Times more than 5 s after the broker's append time, clamped to it.",
      registers,
    });
    this.refusedSeries = new Counter({
      name: "headgate_sampler_refused_series_total",
      help: "Contributions refused because their route has 200 live series.",
      labelNames: ["route"],
      registers,
    });
    this.brokenForms = new Counter({
      name: "headgate_sampler_broken_forms_total",
      help: "Answers whose requested form is not a valid schema or pattern: not checked.",
      labelNames: ["route"],
      registers,
    });
    this.timedOutChecks = new Counter({
      name: "headgate_sampler_timed_out_checks_total",
      help: "Answers that were not checked because their schema or pattern, or those of others, took too long to run: they count as missing, neither as valid nor as invalid.",
      labelNames: ["route"],
      registers,
    });
    this.cutCalls = new Counter({
      name: "headgate_sampler_cut_calls_total",
      help: "Calls longer than their record: checked by the gateway, and counted as unscored where they are drawn for a judge.",
      labelNames: ["route"],
      registers,
    });
    this.tableTimeouts = new Counter({
      name: "headgate_sampler_table_timeouts_total",
      help: "Epochs whose routing table did not arrive in time: calls were checked by the table at hand.",
      labelNames: ["route"],
      registers,
    });
    this.samples = new Counter({ name: "headgate_sampler_samples_total", help: "Calls drawn for judging.", labelNames: ["arm"], registers });
    this.forgottenInstances = new Counter({
      name: "headgate_sampler_forgotten_instances_total",
      help: "Live instances that found no room in the commit metadata: more gateways than a partition can tell apart.",
      registers,
    });
    this.subjects = new Counter({
      name: "headgate_sampler_subjects_total",
      help: "Served calls of a rollout by whether their subject was new in the attempt: new, seen, or unknown because the task does not know the attempt from its beginning.",
      labelNames: ["known"],
      registers,
    });
  }
}
