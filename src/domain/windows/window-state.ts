import type { Aggregate, Entry, Frame } from "../../../topics/index.ts";
import { decodeFrontier, encodeFrontier, FRONTIER_BYTES, type Frontier, type GroupFrontier, type RouteFrontier, routeId } from "./frontier.ts";
import { RollingWindow, type ViewChange } from "./rolling-window.ts";
import { type PaneSettings, RoutePanes } from "./route-panes.ts";
import { SourceWatermarks } from "./source-watermarks.ts";

export interface WindowOptions {
  /** Partitions of `requests`: all must have spoken before anything closes. */
  readonly sources: number;
  /** How often rolling windows are written, wall clock ms. */
  readonly refreshEveryMs: number;
  readonly settingsOf: (route: string) => PaneSettings;
}

/** What to write now, and what to commit with it. */
export interface WindowFlush {
  readonly blocks: readonly Aggregate[];
  readonly views: readonly ViewChange[];
  /** Oldest offset of `partials` that a successor has to read again. */
  readonly offset: number;
  readonly metadata: string;
  /** The frontier of all routes did not fit: everything was closed early to make it fit. */
  readonly isForced: boolean;
}

/**
 * A route that nothing is known of is taken to be closed up to the watermark less this, ms; so are routes that said nothing for long. Chosen as the default
 * grace of calls, so that most routes stand there and need no room in the metadata.
 */
const DEFAULT_GRACE_MS = 5_000;
/** Progress is committed at least so often, wall clock ms: a successor should not read hours of frames that carry only watermarks. */
const COMMIT_EVERY_MS = 60_000;

interface Route {
  readonly name: string;
  readonly panes: RoutePanes;
  readonly rolling: RollingWindow;
}

/**
 * The window half of the aggregator for one partition of routes, without I/O, clock or changelog: frames in, blocks and windows out. Its memory is a function of
 * the frames from the committed offset on and of the committed metadata, so a successor folds those frames silently and goes on: each statistic is written once.
 */
export class WindowState {
  readonly #options: WindowOptions;
  readonly #sources: SourceWatermarks;
  readonly #routes = new Map<string, Route>();
  readonly #inherited: Frontier;
  /** Where the predecessor's routes stand that have not been seen here. */
  readonly #listed: Map<string, RouteFrontier>;
  #position: number;
  #watermarkMs: number | null;
  #refreshedMs: number | null;
  #defaultMs: number | null;
  #baseRounds: number;
  #lastRefreshAtMs = Number.NEGATIVE_INFINITY;
  #lastCommitAtMs: number | null = null;
  #committedPosition: number;
  /** Entries that came after their pane was closed, since the start of this owner. */
  late = 0;

  /** @throws {Error} when the metadata was not written by a `WindowState` */
  constructor(options: WindowOptions, metadata = "") {
    const inherited = decodeFrontier(metadata);
    this.#options = options;
    this.#inherited = inherited;
    this.#sources = new SourceWatermarks(options.sources);
    this.#position = 0;
    this.#committedPosition = inherited.position;
    this.#watermarkMs = inherited.watermarkMs;
    this.#refreshedMs = inherited.refreshedMs;
    this.#defaultMs = inherited.defaultMs;
    this.#baseRounds = inherited.baseRounds;
    this.#listed = new Map(inherited.routes);
  }

  /** Still reading what a predecessor has read: nothing may be written. */
  get isRestoring(): boolean {
    return this.#position < this.#inherited.position;
  }

  /** Takes a frame; frames come in the order of their offsets. */
  take(frame: Frame, offset: number): void {
    for (const entry of frame.entries) this.#count(entry, offset);
    if (frame.source === "requests" && frame.watermarkMs !== null) this.#sources.take(frame.sourcePartition, frame.watermarkMs);
    this.passed(offset);
  }

  /** An offset that holds nothing for this task is behind it. */
  passed(offset: number): void {
    this.#position = Math.max(this.#position, offset + 1);
    const least = this.#sources.leastMs;
    if (least !== null) this.#watermarkMs = Math.max(this.#watermarkMs ?? 0, least);
  }

  #count(entry: Entry, offset: number): void {
    const route = this.#route(entry.route);
    route.rolling.add(entry, offset);
    if (route.panes.add(entry, offset)) this.late++;
  }

  #route(name: string): Route {
    let route = this.#routes.get(name);
    if (route === undefined) {
      const { callsGraceMs, windowMs } = this.#options.settingsOf(name);
      const id = routeId(name);
      const frontier = this.#listed.get(id) ?? null;
      this.#listed.delete(id);
      // Of a route that nothing is known of, nothing that the default says is closed may be written as if it were not.
      const graceMs = this.isRestoring || this.#watermarkMs === null ? null : this.#watermarkMs - callsGraceMs;
      const closedToMs = this.#defaultMs === null && graceMs === null ? null : Math.max(this.#defaultMs ?? 0, graceMs ?? 0);
      const panes = new RoutePanes(name, { frontier, closedToMs, writtenTo: this.#inherited.position, rounds: this.#baseRounds });
      route = { name, panes, rolling: new RollingWindow(this.#refreshedMs === null ? 0 : this.#refreshedMs - windowMs) };
      this.#routes.set(name, route);
    }
    return route;
  }

  /**
   * Closes what can be closed and refreshes the windows.
   *
   * @param nowMs wall clock; only for how often rounds, refreshes and commits happen
   * @returns null when there is nothing worth a transaction. What is returned counts as committed
   */
  flush(nowMs: number): WindowFlush | null {
    if (this.isRestoring) return null;
    this.#lastCommitAtMs ??= nowMs;
    const blocks = this.#closePanes(nowMs);
    const views = this.#refresh(nowMs);
    const isIdle = blocks.length === 0 && views.length === 0;
    if (isIdle && (this.#position === this.#committedPosition || nowMs - this.#lastCommitAtMs < COMMIT_EVERY_MS)) return null;
    this.#forget();
    const { metadata, forced } = this.#encode();
    this.#lastCommitAtMs = nowMs;
    this.#committedPosition = this.#position;
    return { blocks: [...blocks, ...(forced ?? [])], views, offset: this.#oldestOffset(), metadata, isForced: forced !== null };
  }

  #closePanes(nowMs: number): Aggregate[] {
    const watermarkMs = this.#watermarkMs;
    if (watermarkMs === null) return [];
    const routes = [...this.#routes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const blocks = routes.flatMap(({ name, panes }) => (panes.isIdle(watermarkMs) ? [] : panes.close(watermarkMs, nowMs, this.#options.settingsOf(name))));
    const defaultMs = Math.max(this.#defaultMs ?? 0, watermarkMs - DEFAULT_GRACE_MS);
    this.#defaultMs = defaultMs;
    for (const { panes } of routes) if (panes.isIdle(watermarkMs)) panes.standAt(defaultMs);
    return blocks;
  }

  #refresh(nowMs: number): ViewChange[] {
    const watermarkMs = this.#watermarkMs;
    if (watermarkMs === null || nowMs - this.#lastRefreshAtMs < this.#options.refreshEveryMs) return [];
    this.#lastRefreshAtMs = nowMs;
    this.#refreshedMs = watermarkMs;
    return [...this.#routes.values()].flatMap(({ name, panes, rolling }) =>
      rolling.refresh(watermarkMs, this.#options.settingsOf(name).windowMs, panes.calls.closedToMs),
    );
  }

  /** Lets go of routes that have nothing left: they stand at the default from now on. */
  #forget(): void {
    for (const [name, { panes, rolling }] of this.#routes) {
      if (!panes.isIdle(this.#watermarkMs) || !rolling.isEmpty) continue;
      const standsAtMs = Math.max(...panes.groups.map(({ closedToMs }) => closedToMs ?? 0));
      if (standsAtMs > (this.#defaultMs ?? 0)) continue;
      this.#baseRounds = Math.max(this.#baseRounds, ...panes.groups.map(({ rounds }) => rounds));
      this.#routes.delete(name);
    }
    for (const [id, { calls, judge, outcome }] of this.#listed) {
      if (Math.max(calls.closedToMs, judge.closedToMs, outcome.closedToMs) > (this.#defaultMs ?? 0)) continue;
      this.#baseRounds = Math.max(this.#baseRounds, calls.rounds, judge.rounds, outcome.rounds);
      this.#listed.delete(id);
    }
    for (const { panes } of this.#routes.values()) {
      for (const group of panes.groups) group.rounds = Math.max(group.rounds, this.#baseRounds);
    }
  }

  #oldestOffset(): number {
    let oldest = this.#position;
    for (const { panes, rolling } of this.#routes.values()) {
      oldest = Math.min(oldest, panes.oldestOffset(this.#watermarkMs), rolling.oldestOffset());
    }
    return oldest;
  }

  #frontier(): Frontier {
    const position = this.#position;
    const standing = (group: RoutePanes["calls"]) => ({
      closedToMs: group.closedToMs ?? this.#defaultMs ?? 0,
      lateFrom: Math.min(group.lateFrom, position),
      rounds: group.rounds,
    });
    const known = [...this.#routes.values()].map(({ name, panes }): [string, RouteFrontier] => [
      routeId(name),
      { calls: standing(panes.calls), judge: standing(panes.judge), outcome: standing(panes.outcome) },
    ]);
    const written = (group: GroupFrontier): GroupFrontier => ({ ...group, lateFrom: position });
    const listed = [...this.#listed].map(([id, { calls, judge, outcome }]): [string, RouteFrontier] => [
      id,
      { calls: written(calls), judge: written(judge), outcome: written(outcome) },
    ]);
    return {
      position,
      watermarkMs: this.#watermarkMs,
      refreshedMs: this.#refreshedMs,
      defaultMs: this.#defaultMs,
      baseRounds: this.#baseRounds,
      routes: new Map([...listed, ...known]),
    };
  }

  /** When the routes stand at too many different places for the metadata, they are all closed up to one place. */
  #encode(): { readonly metadata: string; readonly forced: Aggregate[] | null } {
    const metadata = encodeFrontier(this.#frontier());
    if (metadata.length <= FRONTIER_BYTES || this.#watermarkMs === null) return { metadata, forced: null };
    const forced = this.#force(this.#watermarkMs);
    return { metadata: encodeFrontier(this.#frontier()), forced };
  }

  #force(watermarkMs: number): Aggregate[] {
    const places = [...this.#listed.values(), ...[...this.#routes.values()].map(({ panes }) => panes)].flatMap(({ calls, judge, outcome }) => [
      calls,
      judge,
      outcome,
    ]);
    const placeMs = places.reduce((most, { closedToMs }) => Math.max(most, closedToMs ?? 0), this.#defaultMs ?? 0);
    const forced = [...this.#routes.values()].flatMap(({ name, panes }) => panes.force(placeMs, watermarkMs, this.#options.settingsOf(name)));
    this.#defaultMs = placeMs;
    this.#baseRounds = places.reduce((most, { rounds }) => Math.max(most, rounds), this.#baseRounds);
    this.#listed.clear();
    for (const { panes } of this.#routes.values()) for (const group of panes.groups) group.rounds = this.#baseRounds;
    return forced;
  }
}
