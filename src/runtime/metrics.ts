import { Counter, type CounterConfiguration, Gauge, type GaugeConfiguration, Histogram, type HistogramConfiguration, Registry } from "prom-client";

/** What the runtime counts. Labels are names of roles and topics, never content. */
export interface RuntimeMetrics {
  readonly records: Counter<"role" | "topic">;
  readonly transactions: Counter<"role">;
  readonly transactionSeconds: Histogram<"role">;
  readonly deadLetters: Counter<"role" | "topic">;
  readonly restarts: Counter<"role" | "reason">;
  readonly lag: Gauge<"role" | "topic" | "partition">;
  readonly owned: Gauge<"role">;
  readonly appended: Counter<"topic">;
  readonly appendFailures: Counter<string>;
  readonly tableAgeSeconds: Gauge<"topic">;
}

/** The runtime's metrics in a registry: made at first, found again when several programs share a process. */
export function runtimeMetrics(registry: Registry = new Registry()): RuntimeMetrics {
  const registers = [registry];
  const counter = <L extends string>(about: Omit<CounterConfiguration<L>, "registers">) =>
    (registry.getSingleMetric(about.name) as Counter<L> | undefined) ?? new Counter<L>({ ...about, registers });
  const gauge = <L extends string>(about: Omit<GaugeConfiguration<L>, "registers">) =>
    (registry.getSingleMetric(about.name) as Gauge<L> | undefined) ?? new Gauge<L>({ ...about, registers });
  const histogram = <L extends string>(about: Omit<HistogramConfiguration<L>, "registers">) =>
    (registry.getSingleMetric(about.name) as Histogram<L> | undefined) ?? new Histogram<L>({ ...about, registers });
  return {
    records: counter({ name: "headgate_records_total", help: "Records taken by tasks", labelNames: ["role", "topic"] }),
    transactions: counter({ name: "headgate_transactions_total", help: "Transactions committed by tasks", labelNames: ["role"] }),
    transactionSeconds: histogram({
      name: "headgate_transaction_seconds",
      help: "Time from the start of a task's transaction to its commit",
      labelNames: ["role"],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    }),
    deadLetters: counter({ name: "headgate_dead_letters_total", help: "Records sent to a dead-letter topic", labelNames: ["role", "topic"] }),
    restarts: counter({
      name: "headgate_task_restarts_total",
      help: "Tasks thrown away and started anew, by reason: fenced, kafka, registry, failed",
      labelNames: ["role", "reason"],
    }),
    lag: gauge({
      name: "headgate_task_lag_records",
      help: "Offsets between a task's position and the end of its input",
      labelNames: ["role", "topic", "partition"],
    }),
    owned: gauge({ name: "headgate_tasks_running", help: "Tasks that are started and processing in this process", labelNames: ["role"] }),
    appended: counter({ name: "headgate_appended_records_total", help: "Records acknowledged outside of tasks", labelNames: ["topic"] }),
    appendFailures: counter({ name: "headgate_append_failures_total", help: "Appends that failed or whose outcome is unknown" }),
    tableAgeSeconds: gauge({ name: "headgate_table_age_seconds", help: "Time since all partitions of a table were last fetched", labelNames: ["topic"] }),
  };
}
