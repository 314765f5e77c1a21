import { Counter, Gauge, type Registry } from "prom-client";
import type { CallRecord } from "./call/record.ts";
import { CallMetrics } from "./call-metrics.ts";
import type { DiskLog } from "./log/disk-log.ts";
import type { RequestLog } from "./log/request-log.ts";
import type { LiveRoutes } from "./routing/live-routes.ts";
import type { SnapshotState } from "./routing/snapshot-keeper.ts";

/** What the gateway counts. Labels are names of routes, versions and arms; never subjects, bodies or keys. */
export class GatewayMetrics {
  readonly rejected: Counter<"code">;
  readonly shadows: Counter<"route" | "result">;
  readonly direct: Counter<"upstream" | "status">;
  readonly shielded: Counter<"route" | "version">;
  readonly #retries: Counter<"route" | "version">;
  readonly outcomes: Counter<"route">;
  readonly dropped: Counter<"reason">;
  readonly appendFailures: Counter;
  readonly refusedTables: Counter<"route">;
  readonly snapshotFailures: Counter;
  readonly spoolFailures: Counter;
  readonly spoolDamages: Counter<"kind">;
  readonly replayed: Counter;
  readonly clockResyncs: Counter;
  /** Whether the gateway's file has changed and cannot be used. */
  readonly fileRefused: Gauge;
  readonly #calls: CallMetrics;
  readonly #registers: [Registry];

  constructor(registry: Registry) {
    const registers: [Registry] = [registry];
    this.#registers = registers;
    this.#calls = new CallMetrics(registry);
    this.rejected = new Counter({
      name: "headgate_gateway_rejected_total",
      help: "Requests that the gateway answered with an error of its own.",
      labelNames: ["code"],
      registers,
    });
    this.shadows = new Counter({
      name: "headgate_gateway_shadow_calls_total",
      help: "Mirrored calls: completed, dropped because too many ran, over_budget, upstream_busy because half of its places were taken, displaced by a caller's call that needed the place, stopped by a brake, a change of routing or a caller that left, failed in the gateway itself, or left out because they continue stored state (stateful) or let their provider act elsewhere (acting).",
      labelNames: ["route", "result"],
      registers,
    });
    this.direct = new Counter({
      name: "headgate_gateway_direct_calls_total",
      help: "Completed calls of an upstream's model past the routes.",
      labelNames: ["upstream", "status"],
      registers,
    });
    this.shielded = new Counter({
      name: "headgate_gateway_shielded_total",
      help: "Failed calls of a candidate that the baseline answered.",
      labelNames: ["route", "version"],
      registers,
    });
    this.#retries = new Counter({
      name: "headgate_gateway_retries_total",
      help: "Attempts after the first.",
      labelNames: ["route", "version"],
      registers,
    });
    this.outcomes = new Counter({
      name: "headgate_gateway_outcomes_total",
      help: "Outcomes of earlier calls that were written.",
      labelNames: ["route"],
      registers,
    });
    this.dropped = new Counter({ name: "headgate_gateway_dropped_records_total", help: "Records that were lost.", labelNames: ["reason"], registers });
    this.appendFailures = new Counter({ name: "headgate_gateway_append_failures_total", help: "Failed attempts to write records.", registers });
    this.spoolFailures = new Counter({ name: "headgate_gateway_spool_failures_total", help: "Times that the disk refused the spool.", registers });
    this.spoolDamages = new Counter({
      name: "headgate_gateway_spool_damages_total",
      help: "Places where a spool could not be read: torn (its writer was killed) or damaged.",
      labelNames: ["kind"],
      registers,
    });
    this.replayed = new Counter({ name: "headgate_gateway_replayed_records_total", help: "Records that went from the spool to the log.", registers });
    this.fileRefused = new Gauge({
      name: "headgate_gateway_file_refused",
      aggregator: "max",
      help: "1 while the gateway's file has changed since the start and is not used, because something in it is wrong.",
      registers,
    });
    this.clockResyncs = new Counter({
      name: "headgate_gateway_clock_resyncs_total",
      help: "Times that event times went back, because the machine's clock was set back by more than a minute.",
      registers,
    });
    this.snapshotFailures = new Counter({
      name: "headgate_gateway_snapshot_failures_total",
      help: "Failed attempts to keep routing and brakes on disk.",
      registers,
    });
    this.refusedTables = new Counter({
      name: "headgate_gateway_refused_tables_total",
      help: "Routing tables that could not be obeyed.",
      labelNames: ["route"],
      registers,
    });
  }

  completed(record: CallRecord): void {
    this.#calls.completed(record);
    if (record.attempts > 1) this.#retries.inc({ route: record.route, version: record.version }, record.attempts - 1);
  }

  /** Gauges that are read when somebody asks. */
  observe(state: {
    routes: LiveRoutes;
    log: RequestLog;
    disk: DiskLog;
    inFlight: { readonly total: number; readonly bytes: number };
    answers: { readonly bytes: number };
    uploads: { readonly running: number };
    shadowsInFlight: () => number;
    isConnected: () => boolean;
    snapshot: () => SnapshotState;
  }): void {
    const registers = this.#registers;
    const gauge = (name: string, help: string, read: () => number, aggregator: "sum" | "min" | "max" = "sum") =>
      new Gauge({
        name,
        help,
        // Of several workers.
        aggregator,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge("headgate_gateway_in_flight", "Calls that run now.", () => state.inFlight.total);
    gauge("headgate_gateway_in_flight_body_bytes", "Bytes of request bodies that running calls hold.", () => state.inFlight.bytes);
    gauge("headgate_gateway_uploads", "Request bodies that are being read now.", () => state.uploads.running);
    gauge("headgate_gateway_in_flight_answer_bytes", "Bytes that are kept of answers that run, for the log.", () => state.answers.bytes);
    gauge("headgate_gateway_shadows_in_flight", "Mirrored calls that run now.", state.shadowsInFlight);
    gauge("headgate_gateway_queued_records", "Records that wait to be written.", () => state.log.queuedRecords);
    gauge("headgate_gateway_queued_bytes", "The same in bytes.", () => state.log.queuedBytes);
    gauge("headgate_gateway_spooled_records", "Records of this process that wait on disk.", () => state.disk.spool?.unreadFrames ?? 0);
    gauge("headgate_gateway_spooled_bytes", "Bytes on disk, and of an earlier process's spool while it is written.", () => state.disk.usedBytes());
    gauge(
      "headgate_gateway_connected",
      "1 while routing and brakes are heard: both were fetched within the last 15 s.",
      () => Number(state.isConnected()),
      "min",
    );
    gauge(
      "headgate_gateway_snapshot_written_seconds",
      "When routing and brakes were last kept on disk, epoch seconds; 0: never by this process.",
      () => state.snapshot().writtenAtMs / 1000,
      "min",
    );
    gauge(
      "headgate_gateway_snapshot_refused",
      "1 when a snapshot found at start was damaged and is not used.",
      () => Number(state.snapshot().problem !== null),
      "max",
    );
    new Gauge({
      name: "headgate_gateway_epoch",
      aggregator: "min",
      help: "Epoch of the routing table that a route obeys; 0: its configuration.",
      labelNames: ["route"],
      registers,
      collect() {
        for (const { route, epoch } of state.routes.states()) this.set({ route }, epoch);
      },
    });
    new Gauge({
      name: "headgate_gateway_static_outdated",
      aggregator: "max",
      help: "1 when the configuration's baseline of a route is another one than that of its newest routing table.",
      labelNames: ["route"],
      registers,
      collect() {
        this.reset();
        for (const { route } of state.routes.outdated()) this.set({ route }, 1);
      },
    });
    new Gauge({
      name: "headgate_gateway_held",
      aggregator: "max",
      help: "1 when a route is kept on its baseline although its table says otherwise.",
      labelNames: ["route", "hold"],
      registers,
      collect() {
        this.reset();
        for (const { route, hold } of state.routes.states()) if (hold !== null) this.set({ route, hold }, 1);
      },
    });
  }
}
