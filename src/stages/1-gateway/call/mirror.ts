import type { IncomingHttpHeaders } from "node:http";
import type { Logger } from "pino";
import { type Assignment, assignShadow } from "../../../domain/routing/assign.ts";
import type { EffectiveTable } from "../../../domain/routing/effective-table.ts";
import { steadyNowMs } from "../../../runtime/steady-clock.ts";
import { addTrace, upstreamHeaders, withoutIdempotencyKey } from "../http/headers.ts";
import type { EventClock } from "../log/event-clock.ts";
import type { GatewayMetrics } from "../metrics.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import { actsElsewhere } from "./acting-tools.ts";
import { once } from "./attempts.ts";
import { type Exchanged, exchange, nowhere } from "./exchange.ts";
import type { Room } from "./in-flight.ts";
import { Leaving } from "./leaving.ts";
import { type Call, recordOf, type ServedTwin } from "./record.ts";
import type { Recorder } from "./recorder.ts";
import { uuidv7 } from "./request-id.ts";
import { ShadowBudget, type ShadowLimits } from "./shadow-budget.ts";
import type { Upstream } from "./upstream.ts";
import { asksForUsage, upstreamBody } from "./upstream-request.ts";
import { costOf } from "./usage.ts";
import type { CheckWhole } from "./whole-checks.ts";

/** A call that is being answered, as far as its mirror needs it. */
export interface Served {
  readonly call: Call;
  readonly headers: IncomingHttpHeaders;
  readonly assignment: Assignment;
  readonly effective: EffectiveTable;
  /** What the request takes in memory, which it does for as long as its mirror runs. */
  readonly room: Room;
}

/** The mirror of one call. */
export interface Mirroring {
  /** The caller has the first byte of its answer: the candidate may be asked. Does nothing the second time. */
  begin(): void;
  /** The call is over, and this is the served side. Whoever was shown nothing is mirrored now: without the calls that fail so, the baseline would look better in pairs than it is. */
  settle(twin: ServedTwin): void;
  /** Nobody knows how the call ended: its mirror is stopped and leaves no record. */
  abandon(): void;
}

interface Running {
  readonly route: string;
  readonly assignment: Assignment;
  readonly leaving: Leaving;
  /** The served side, once it is known; null: there will be no record. */
  readonly twin: PromiseWithResolvers<ServedTwin | null>;
  /** A caller's call needed its place at the upstream. */
  isDisplaced: boolean;
}

export interface MirrorDeps {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly routes: LiveRoutes;
  readonly recorder: Recorder;
  readonly log: Logger;
  readonly clock: EventClock;
  readonly metrics: GatewayMetrics;
  readonly limits: ShadowLimits & { readonly maxInFlight: number };
  readonly checkWhole: CheckWhole;
}

/**
 * Sends requests a second time, to the candidate, once the caller's answer has begun. Nobody sees what comes back; when both are over it is logged together
 * with what was served: how the served side ended (a stream that broke, a retry that hid a failure) is half of a pair. Bounded: a mirror that waits for
 * its twin counts as running, and when too many run, a mirror is dropped and counted, never queued.
 */
export class Mirror {
  readonly #deps: MirrorDeps;
  readonly #running = new Set<Running>();
  readonly #budget: ShadowBudget;
  /** Models of which a mirrored call had no known cost, as far as that was told. */
  readonly #unpriced = new Set<string>();
  #stopped = false;

  constructor(deps: MirrorDeps) {
    this.#deps = deps;
    this.#budget = new ShadowBudget(deps.limits, steadyNowMs);
  }

  get inFlight(): number {
    return this.#running.size;
  }

  /** The mirror of a call that is about to be answered; null when its table or its request id say that it has none. */
  of(served: Served): Mirroring | null {
    const assignment = assignShadow(served.effective, served.assignment, served.call.requestId);
    if (assignment === null) return null;
    let running: Running | null = null;
    let isBegun = false;
    const begin = () => {
      if (!isBegun) running = this.#begin(served, assignment);
      isBegun = true;
    };
    const abandon = () => {
      isBegun = true;
      if (running !== null) this.#cancel(running);
    };
    const settle = (twin: ServedTwin) => {
      // The twin of a call that its caller gave up on says nothing.
      if (twin.twin.status === "cancelled") return abandon();
      begin();
      running?.twin.resolve(twin);
    };
    return { begin, settle, abandon };
  }

  #begin(served: Served, assignment: Assignment): Running | null {
    const { call } = served;
    const { metrics, upstreams, limits } = this.#deps;
    if (this.#stopped || !this.#isWanted(call.route, assignment)) return null;
    const upstream = upstreams.get(assignment.version.upstream);
    if (upstream === undefined) return null;
    // The candidate does not have what the request continues, and a stored conversation would get a second answer.
    if (call.endpoint.statefulBy(call.request) !== null) {
      metrics.shadows.inc({ route: call.route, result: "stateful" });
      return null;
    }
    // What the provider does for it would be done twice.
    if (actsElsewhere(call.request)) {
      metrics.shadows.inc({ route: call.route, result: "acting" });
      return null;
    }
    if (this.#running.size >= limits.maxInFlight) {
      metrics.shadows.inc({ route: call.route, result: "dropped" });
      return null;
    }
    const release = served.room.hold();
    if (release === null) {
      metrics.shadows.inc({ route: call.route, result: "dropped" });
      return null;
    }
    const running: Running = {
      route: call.route,
      assignment,
      leaving: new Leaving(),
      twin: Promise.withResolvers<ServedTwin | null>(),
      isDisplaced: false,
    };
    const leave = upstream.enterMirror(() => {
      running.isDisplaced = true;
      this.#cancel(running);
    });
    if (leave === null) {
      release();
      metrics.shadows.inc({ route: call.route, result: "upstream_busy" });
      return null;
    }
    if (!this.#budget.take()) {
      leave();
      release();
      metrics.shadows.inc({ route: call.route, result: "over_budget" });
      return null;
    }
    this.#running.add(running);
    // Not in the turn in which the caller gets its bytes: they go out first.
    setImmediate(() => void this.#send(served, running, { upstream, leave }).finally(release));
    return running;
  }

  /** Counts what a mirrored call cost; tells once of each model when that is not known and there is a budget that should count it. */
  #spent(exchanged: Exchanged, { config }: Upstream, upstreamModel: string): void {
    const { limits, log } = this.#deps;
    const costUsd = costOf(exchanged, config.prices.get(upstreamModel));
    this.#budget.spent(costUsd);
    const upstream = config.name;
    const model = `${upstream}/${upstreamModel}`;
    if (costUsd !== null || exchanged.status !== "ok" || limits.maxUsdPerHour === null || this.#unpriced.has(model)) return;
    this.#unpriced.add(model);
    log.warn({ upstream, model: upstreamModel }, "shadow.maxUsdPerHour cannot count this model's calls: its upstream reports no cost and has no price for it");
  }

  #cancel({ leaving, twin }: Running): void {
    twin.resolve(null);
    leaving.leave();
  }

  /** Stops mirrors that the newest table, brake or staleness no longer allows. */
  review(): void {
    for (const running of this.#running) if (!this.#isWanted(running.route, running.assignment)) this.#cancel(running);
  }

  stop(): void {
    this.#stopped = true;
    for (const running of this.#running) this.#cancel(running);
  }

  #isWanted(route: string, assignment: Assignment): boolean {
    const now = this.#deps.routes.effective(route);
    if (now === null || now.hold !== null) return false;
    const { rollout, attempt, candidate, shadowPpm } = now.routeTable.table;
    return shadowPpm > 0 && rollout === assignment.rollout && attempt === assignment.attempt && candidate === assignment.version.name;
  }

  /** @param place at the upstream: `leave` is called when it has answered */
  async #send(served: Served, running: Running, place: { readonly upstream: Upstream; readonly leave: () => void }): Promise<void> {
    const { clock, metrics, log, recorder, checkWhole } = this.#deps;
    const { assignment, leaving } = running;
    const { upstream, leave } = place;
    const startedAtMs = clock.nowMs();
    const call: Call = { ...served.call, requestId: uuidv7(startedAtMs), startedAtMs };
    try {
      const { endpoint } = call;
      const body = upstreamBody(call, assignment.version, asksForUsage(endpoint, call.request, upstream.config));
      const headers = addTrace(withoutIdempotencyKey(upstreamHeaders(served.headers, upstream)), call);
      // Nobody waits for it, so that a failure is not repeated: it is what there is to learn.
      const exchanged = await exchange(upstream, { endpoint, headers, body, hidesUsage: false, leaving, sink: nowhere });
      leave();
      // Whatever becomes of its record, it was paid for.
      this.#spent(exchanged, upstream, assignment.version.model);
      const twin = exchanged.status === "cancelled" ? null : await running.twin.promise;
      if (twin === null) {
        metrics.shadows.inc({ route: call.route, result: running.isDisplaced ? "displaced" : "stopped" });
        return;
      }
      const about = { exchanged: once(exchanged), upstream, twin, checkWhole };
      const record = recorder.record(call, () => recordOf(call, assignment, about));
      metrics.shadows.inc({ route: call.route, result: record === null ? "failed" : "completed" });
    } catch (error) {
      // Nobody waits for a mirror: what goes wrong in it must not reach further than here.
      log.error({ err: error, requestId: call.requestId }, "a mirrored call failed in the gateway itself");
      metrics.shadows.inc({ route: call.route, result: "failed" });
    } finally {
      leave();
      this.#running.delete(running);
    }
  }
}
