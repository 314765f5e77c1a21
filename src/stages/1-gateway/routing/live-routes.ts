import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Brake, RoutingTable, ServedVersion } from "../../../../topics/index.ts";
import { type BrakeBook, emptyBrakeBook, hasAttempt, isBraked, withBrake, withTable } from "../../../domain/routing/brake-book.ts";
import { type EffectiveTable, effectiveTable, type Hold } from "../../../domain/routing/effective-table.ts";
import { parseParameters } from "../../../domain/routing/merge-parameters.ts";
import type { Version } from "../../../domain/routing/route-table.ts";
import { asksForLess, compileTable, exposesCandidate, type RouteTable } from "../../../domain/routing/route-table.ts";
import type { RouteConfig, RoutePolicy } from "../config.ts";
import { UnwrittenBrakes } from "./unwritten-brakes.ts";

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
  /** The hold changes something: the table has calls for its candidate, which it does not get. */
  readonly withholds: boolean;
  readonly isStatic: boolean;
  readonly refusal: Refusal | null;
}

/** What a restart must not forget. */
export interface SavedRoutes {
  /** Of each route the table that is obeyed, then the newest received when that is another one. */
  readonly tables: RoutingTable[];
  readonly brakes: { readonly attempts: string[]; readonly all: boolean; readonly clearedAtMs: number };
  readonly unwritten: Brake[];
}

/** A route that the configuration would serve by another baseline than routing does. */
export interface OutdatedBaseline {
  readonly route: string;
  readonly configured: string;
  readonly routing: string;
  /** What of the version differs although it has the same name; empty: the names differ. */
  readonly differs: readonly (keyof ServedVersion)[];
}

export interface LiveRoutesOptions {
  readonly configured: ReadonlyMap<string, RouteConfig>;
  readonly defaults: RoutePolicy;
  readonly isKnownUpstream: (name: string) => boolean;
  readonly log: Logger;
  /** Must never jump: it decides whether tables are stale. */
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
  /** Brakes of the gateway's own admin port, until they are in the topic. */
  readonly #unwritten = new UnwrittenBrakes();
  /** As the topic tells, and with the attempts that the gateway's own brakes stop. */
  #brakes: BrakeBook = emptyBrakeBook;
  /** The same, with its own brakes on all routes. */
  #book: BrakeBook = emptyBrakeBook;
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

  /** Last successful fetch of tables and brakes, by the same clock as `nowMs`, epoch ms; 0: never. */
  freshAtMs(): number {
    return this.#freshAtMs();
  }

  /** Whether any route has a table that is not to be trusted for ever. */
  canGrowStale(): boolean {
    return [...this.#live.values()].some(({ obeyed }) => obeyed !== null && obeyed.table.staleAfterMs > 0);
  }

  saved(): SavedRoutes {
    const tables = [...this.#live.values()].flatMap(({ obeyed, newest }) => {
      const older = obeyed !== null && obeyed.table !== newest ? [obeyed.table] : [];
      return newest === null ? older : [...older, newest];
    });
    const { attempts, all, clearedAtMs } = this.#brakes;
    return { tables, brakes: { attempts: [...attempts], all, clearedAtMs }, unwritten: [...this.#unwritten.list] };
  }

  /** Takes back what was saved, brakes first, before any table has arrived. */
  restore(saved: SavedRoutes, freshAtMs: number): void {
    for (const brake of saved.unwritten) this.#unwritten.add(brake);
    this.#rebook({ ...saved.brakes, attempts: new Set(saved.brakes.attempts) });
    this.#freshAtMs = () => freshAtMs;
    for (const table of saved.tables) this.applyTable(table);
  }

  /** Takes a table. One that is not newer than the newest received is ignored; one that cannot be obeyed leaves the route as it was. */
  applyTable(table: RoutingTable): void {
    const live = this.#live.get(table.route) ?? { obeyed: null, newest: null, refusal: null };
    if (live.newest !== null && table.epoch <= live.newest.epoch) return;
    live.newest = table;
    this.#rebook({ ...this.#brakes, attempts: withTable(this.#book, table).attempts });
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

  /** Takes a brake that the gateway's own admin port was given: obeyed at once, and to be written to the topic when that is possible. */
  brakeHere(brake: Brake): void {
    this.#unwritten.add(brake);
    this.#obey(brake);
  }

  /**
   * Whether a brake is obeyed here for good: its attempt is stopped, or this very order or a younger one on all routes is known. An older order on all
   * routes is not enough: a clearing between the two would lift it.
   */
  holds(brake: Brake): boolean {
    if (brake.route !== "*") return hasAttempt(this.#book, brake);
    return this.#unwritten.list.some(({ route, atMs }) => route === "*" && atMs >= brake.atMs);
  }

  /** When the brake on all routes was last cleared, epoch ms; -1: never. */
  get clearedAtMs(): number {
    return this.#brakes.clearedAtMs;
  }

  /** Brakes of the admin port that are not known to be in the topic yet. */
  get unwrittenBrakes(): readonly Brake[] {
    return this.#unwritten.list;
  }

  /** A brake that needs not be written: its attempt is over. It holds all the same. */
  forgetBrake(brake: Brake): void {
    this.#unwritten.forget(brake);
    this.#changed();
  }

  /** Rollout and attempt of the newest table; null: there is none. */
  attemptOf(route: string): { readonly rollout: string; readonly attempt: number } | null {
    const newest = this.#live.get(route)?.newest ?? null;
    return newest === null ? null : { rollout: newest.rollout, attempt: newest.attempt };
  }

  /** Routes whose baseline in the configuration is another one than the newest table's. */
  outdated(): OutdatedBaseline[] {
    return [...this.#live].flatMap(([route, { newest }]) => {
      const configured = this.#options.configured.get(route)?.baseline;
      const served = newest?.versions.find(({ name }) => name === newest.baseline);
      if (configured === undefined || served === undefined) return [];
      const differs = differencesOf(configured, served);
      if (configured.name === served.name && differs.length === 0) return [];
      return [{ route, configured: configured.name, routing: served.name, differs: configured.name === served.name ? differs : [] }];
    });
  }

  /** Takes a brake of the topic. */
  applyBrake(brake: Brake): void {
    this.#unwritten.take(brake);
    this.#obey(brake);
  }

  #obey(brake: Brake): void {
    const running = [...this.#live.values()].flatMap(({ newest, obeyed }) => [
      ...(newest === null ? [] : [newest]),
      ...(obeyed === null ? [] : [obeyed.table]),
    ]);
    this.#rebook(withBrake(this.#brakes, brake, running));
    this.#options.log.warn({ route: brake.route, rollout: brake.rollout, attempt: brake.attempt, cleared: brake.cleared }, "brake obeyed");
    this.#changed();
  }

  /** How calls of a route are served now; null when there is no table and the configuration serves it. */
  effective(route: string): EffectiveTable | null {
    const live = this.#live.get(route);
    if (live === undefined || live.obeyed === null) return null;
    const superseded = live.refusal !== null && live.newest !== null && asksForLess(live.newest, live.obeyed.table);
    return effectiveTable(live.obeyed, { brakes: this.#book, freshAtMs: this.#freshAtMs(), nowMs: this.#options.nowMs(), superseded });
  }

  /** Whether a table or the configuration serves a route. */
  isServed(route: string): boolean {
    return (this.#live.get(route)?.obeyed ?? null) !== null || this.#options.configured.has(route);
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
    return [...this.#live.keys()].filter((route) => this.isServed(route)).sort();
  }

  states(): RouteState[] {
    return [...this.#live.keys()].sort().map((route) => {
      const live = this.#live.get(route);
      const effective = this.effective(route);
      const hold = effective?.hold ?? null;
      return {
        route,
        epoch: effective?.routeTable.table.epoch ?? 0,
        hold,
        withholds: effective !== null && hold !== null && exposesCandidate(effective.routeTable.table),
        isStatic: effective === null,
        refusal: live?.refusal ?? null,
      };
    });
  }

  /** Whether a brake stops the route, or all routes (`*`: the brake of all). */
  isBraked(route: string): boolean {
    const newest = this.#live.get(route)?.newest ?? null;
    return newest === null ? this.#book.all : isBraked(this.#book, newest);
  }

  #rebook(brakes: BrakeBook): void {
    this.#brakes = brakes;
    this.#book = { ...brakes, all: brakes.all || this.#unwritten.all };
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What two versions differ in, apart from their names. */
function differencesOf(configured: Version, served: ServedVersion): (keyof ServedVersion)[] {
  const ofText = (["upstream", "model", "systemTemplate"] as const).filter((field) => configured[field] !== served[field]);
  const isSame = isDeepStrictEqual(configured.parameters, parseParameters(served.parameters) ?? {});
  return isSame ? ofText : [...ofText, "parameters"];
}
