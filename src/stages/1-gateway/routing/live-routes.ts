import type { Logger } from "pino";
import type { Brake, RoutingTable } from "../../../../topics/index.ts";
import { type BrakeBook, emptyBrakeBook, isBraked, withBrake, withTable } from "../../../domain/routing/brake-book.ts";
import { type EffectiveTable, effectiveTable, type Hold } from "../../../domain/routing/effective-table.ts";
import type { Version } from "../../../domain/routing/route-table.ts";
import { asksForLess, compileTable, type RouteTable } from "../../../domain/routing/route-table.ts";
import type { RouteConfig, RoutePolicy } from "../config.ts";

/** A table that could not be obeyed, and why. */
export interface Refusal {
  readonly epoch: number;
  readonly problems: readonly string[];
}

interface Live {
  obeyed: RouteTable | null;
  /** Newest table received, obeyed or not. */
  newest: RoutingTable | null;
  refusal: Refusal | null;
}

/** How a route is served now, for reports and health. */
export interface RouteState {
  readonly route: string;
  readonly epoch: number;
  readonly hold: Hold | null;
  readonly isStatic: boolean;
  readonly refusal: Refusal | null;
}

export interface LiveRoutesOptions {
  readonly configured: ReadonlyMap<string, RouteConfig>;
  readonly defaults: RoutePolicy;
  readonly isKnownUpstream: (name: string) => boolean;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly onRefusal: (route: string) => void;
}

/**
 * What every route is served by now: the newest table that could be obeyed, else the gateway's own configuration; under the
 * brakes and the age of what was fetched. Tables only ever replace older ones, brakes only ever stop.
 */
export class LiveRoutes {
  readonly #options: LiveRoutesOptions;
  readonly #live = new Map<string, Live>();
  readonly #listeners: (() => void)[] = [];
  #brakes: BrakeBook = emptyBrakeBook;
  #freshAtMs: () => number = () => 0;

  constructor(options: LiveRoutesOptions) {
    this.#options = options;
    for (const route of options.configured.keys()) this.#live.set(route, { obeyed: null, newest: null, refusal: null });
  }

  /** Called after every change of a table or brake. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** From where the time of the last successful fetch is read. */
  followFreshness(freshAtMs: () => number): void {
    this.#freshAtMs = freshAtMs;
  }

  /** Takes a table. One that is not newer than the newest received is ignored; one that cannot be obeyed leaves the route as it was. */
  applyTable(table: RoutingTable): void {
    const live = this.#live.get(table.route) ?? { obeyed: null, newest: null, refusal: null };
    if (live.newest !== null && table.epoch <= live.newest.epoch) return;
    live.newest = table;
    this.#brakes = withTable(this.#brakes, table);
    const result = compileTable(table, this.#options.isKnownUpstream);
    if (result.kind === "valid") {
      live.obeyed = result.routeTable;
      live.refusal = null;
      this.#options.log.info({ route: table.route, epoch: table.epoch, step: table.step, reason: table.reason }, "routing obeyed");
    } else {
      live.refusal = { epoch: table.epoch, problems: result.problems };
      this.#options.onRefusal(table.route);
      const stays = live.obeyed?.table.epoch ?? 0;
      this.#options.log.error(
        { route: table.route, epoch: table.epoch, staysOn: stays, problems: result.problems },
        "routing refused: the route stays on what it had",
      );
    }
    // A route that is neither configured nor has a table that can be obeyed is still unknown to callers.
    this.#live.set(table.route, live);
    this.#changed();
  }

  applyBrake(brake: Brake): void {
    const running = [...this.#live.values()].flatMap(({ newest, obeyed }) => [
      ...(newest === null ? [] : [newest]),
      ...(obeyed === null ? [] : [obeyed.table]),
    ]);
    this.#brakes = withBrake(this.#brakes, brake, running);
    this.#options.log.warn({ route: brake.route, rollout: brake.rollout, attempt: brake.attempt, cleared: brake.cleared }, "brake obeyed");
    this.#changed();
  }

  /** How calls of a route are served now; null when there is no table and the configuration serves it. */
  effective(route: string): EffectiveTable | null {
    const live = this.#live.get(route);
    if (live === undefined || live.obeyed === null) return null;
    const superseded = live.refusal !== null && live.newest !== null && asksForLess(live.newest, live.obeyed.table);
    return effectiveTable(live.obeyed, { brakes: this.#brakes, freshAtMs: this.#freshAtMs(), nowMs: this.#options.nowMs(), superseded });
  }

  /** The version that serves a route without a table, from the configuration. */
  configured(route: string): Version | null {
    return this.#options.configured.get(route)?.baseline ?? null;
  }

  policy(route: string): RoutePolicy {
    return this.#options.configured.get(route) ?? this.#options.defaults;
  }

  /** Routes that callers can ask for. */
  names(): string[] {
    return [...this.#live].flatMap(([route, { obeyed }]) => (obeyed !== null || this.#options.configured.has(route) ? [route] : [])).sort();
  }

  states(): RouteState[] {
    return [...this.#live.keys()].sort().map((route) => {
      const live = this.#live.get(route);
      const effective = this.effective(route);
      return {
        route,
        epoch: effective?.routeTable.table.epoch ?? 0,
        hold: effective?.hold ?? null,
        isStatic: effective === null,
        refusal: live?.refusal ?? null,
      };
    });
  }

  /** Whether a brake stops the route, or all routes. */
  isBraked(route: string): boolean {
    const newest = this.#live.get(route)?.newest ?? null;
    return newest === null ? this.#brakes.all : isBraked(this.#brakes, newest);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
