import type { IncomingHttpHeaders } from "node:http";
import type { Logger } from "pino";
import { type Assignment, assignShadow } from "../../../domain/routing/assign.ts";
import type { EffectiveTable } from "../../../domain/routing/effective-table.ts";
import { addTrace, upstreamHeaders } from "../http/headers.ts";
import type { EventClock } from "../log/event-clock.ts";
import type { GatewayMetrics } from "../metrics.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import { once } from "./attempts.ts";
import { exchange, nowhere } from "./exchange.ts";
import { type Call, recordOf, type Twin } from "./record.ts";
import type { Recorder } from "./recorder.ts";
import { uuidv7 } from "./request-id.ts";
import type { Upstream } from "./upstream.ts";
import { asksForUsage, upstreamBody } from "./upstream-request.ts";
import type { CheckWhole } from "./whole-checks.ts";

/** A served call, as far as its mirror needs it. */
export interface Served {
  readonly call: Call;
  readonly headers: IncomingHttpHeaders;
  readonly assignment: Assignment;
  readonly effective: EffectiveTable;
  readonly twin: Twin;
}
interface Running {
  readonly route: string;
  readonly assignment: Assignment;
  readonly abort: AbortController;
}

export interface MirrorDeps {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly routes: LiveRoutes;
  readonly recorder: Recorder;
  readonly log: Logger;
  readonly clock: EventClock;
  readonly metrics: GatewayMetrics;
  readonly maxInFlight: number;
  readonly checkWhole: CheckWhole;
}

/**
 * Sends served requests a second time, to the candidate, after the caller has its answer. Nobody sees what comes back; it is logged
 * together with what was served. Bounded: when too many run, a mirror is dropped and counted, never queued.
 */
export class Mirror {
  readonly #deps: MirrorDeps;
  readonly #running = new Set<Running>();
  #stopped = false;

  constructor(deps: MirrorDeps) {
    this.#deps = deps;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  /** Mirrors a served call if its table and its request id say so. Call it when the caller's answer is complete. */
  offer(served: Served): void {
    const { call, effective } = served;
    const assignment = assignShadow(effective, served.assignment, call.requestId);
    // The twin of a call that its caller gave up on says nothing.
    if (assignment === null || served.twin.status === "cancelled" || this.#stopped || !this.#isWanted(call.route, assignment)) return;
    const upstream = this.#deps.upstreams.get(assignment.version.upstream);
    if (upstream === undefined) return;
    // The candidate does not have what the request continues, and a stored conversation would get a second answer.
    if (call.endpoint.statefulBy(call.request) !== null) {
      this.#deps.metrics.shadows.inc({ route: call.route, result: "stateful" });
      return;
    }
    if (this.#running.size >= this.#deps.maxInFlight) {
      this.#deps.metrics.shadows.inc({ route: call.route, result: "dropped" });
      return;
    }
    const running = { route: call.route, assignment, abort: new AbortController() };
    this.#running.add(running);
    // Not in the turn in which the answer was completed: its last bytes go out first.
    setImmediate(() => void this.#send(served, running, upstream));
  }

  /** Stops mirrors that the newest table, brake or staleness no longer allows. */
  review(): void {
    for (const { route, assignment, abort } of this.#running) if (!this.#isWanted(route, assignment)) abort.abort();
  }

  stop(): void {
    this.#stopped = true;
    for (const { abort } of this.#running) abort.abort();
  }

  #isWanted(route: string, assignment: Assignment): boolean {
    const now = this.#deps.routes.effective(route);
    if (now === null || now.hold !== null) return false;
    const { rollout, attempt, candidate, shadowPpm } = now.routeTable.table;
    return shadowPpm > 0 && rollout === assignment.rollout && attempt === assignment.attempt && candidate === assignment.version.name;
  }

  async #send(served: Served, running: Running, upstream: Upstream): Promise<void> {
    const { clock, metrics, log, recorder, checkWhole } = this.#deps;
    const { assignment, abort } = running;
    const startedAtMs = clock.nowMs();
    const call: Call = { ...served.call, requestId: uuidv7(startedAtMs), startedAtMs };
    try {
      const { endpoint } = call;
      const body = upstreamBody(call, assignment.version, asksForUsage(endpoint, call.request, upstream.config));
      const headers = addTrace(upstreamHeaders(served.headers, upstream), call);
      // Nobody waits for it, so that a failure is not repeated: it is what there is to learn.
      const exchanged = await exchange(upstream, { endpoint, headers, body, hidesUsage: false, signal: abort.signal, sink: nowhere });
      if (exchanged.status === "cancelled") {
        metrics.shadows.inc({ route: call.route, result: "stopped" });
        return;
      }
      const about = { exchanged: once(exchanged), upstream, twin: served.twin, checkWhole };
      const record = recorder.record(call, () => recordOf(call, assignment, about));
      metrics.shadows.inc({ route: call.route, result: record === null ? "failed" : "completed" });
    } catch (error) {
      // Nobody waits for a mirror: what goes wrong in it must not reach further than here.
      log.error({ err: error, requestId: call.requestId }, "a mirrored call failed in the gateway itself");
      metrics.shadows.inc({ route: call.route, result: "failed" });
    } finally {
      this.#running.delete(running);
    }
  }
}
