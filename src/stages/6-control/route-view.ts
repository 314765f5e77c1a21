import type { Brake, GateEvent, RoutingTable, SignalEvidence, StateEntry, WindowView } from "../../../topics/index.ts";
import type { Explanation } from "../../domain/replay/explanation.ts";
import { DEFAULT_LADDER } from "../../domain/rollout/spec/normalise.ts";
import { wallOf } from "../../runtime/steady-clock.ts";
import { bindingBrake, candidateSharePct, liveGateways, type Obedience, obedience } from "./obedience.ts";
import { headOf, type Views } from "./views.ts";

/** What became of a declared spec: not taken up yet, an attempt was started with it, kept for its turn or an approval, or refused. */
export type Standing = "waiting" | "started" | "queued" | "refused";

/** The declared spec of a route, as it stands in `rollouts`. */
export interface Declared {
  readonly standing: Standing;
  /** Why the decider refused it, or what it keeps it for; empty when it started. */
  readonly refusal: string;
  readonly digest: string;
  readonly actor: string;
  readonly atMs: number;
  /** The spec as it was declared, without defaults. */
  readonly spec: unknown;
}

/** A route in a list. */
export interface RouteSummary {
  readonly route: string;
  readonly rollout: string;
  readonly attempt: number;
  /** `none` while the decider has not taken up the declared rollout. */
  readonly phase: StateEntry["phase"] | "none";
  readonly condition: StateEntry["condition"];
  /** Rung of the ladder, from 0; -1 in shadow. */
  readonly step: number;
  /** Candidate's share of subjects per step, in percent. */
  readonly ladder: readonly number[];
  readonly baseline: string;
  readonly candidate: string;
  /** Candidate's share of subjects now, in percent. */
  readonly sharePct: number;
  readonly epoch: number;
  readonly braked: boolean;
  readonly reasons: readonly string[];
  /** What it waits for, in one sentence. */
  readonly message: string;
  /** Epoch ms of the newest gate event; 0 when there is none. */
  readonly changedAtMs: number;
  readonly gateways: { readonly obeyed: number; readonly live: number };
}

/** Everything that is known of a route. */
export interface RouteView extends Omit<RouteSummary, "gateways"> {
  readonly declared: Declared | null;
  readonly state: Omit<StateEntry, "state"> | null;
  readonly routing: RoutingTable | null;
  readonly brake: Brake | null;
  readonly gateways: Obedience;
  /** Candidate's share of the served calls in the rolling window, in percent; null without calls. */
  readonly measuredSharePct: number | null;
  /** Of the newest gate event of this attempt that carries evidence. */
  readonly signals: readonly SignalEvidence[];
  readonly signalsAtMs: number;
  /** Newest first. */
  readonly events: readonly GateEvent[];
  /** The newest event of each earlier attempt, newest first. */
  readonly earlier: readonly GateEvent[];
  readonly windows: readonly WindowView[];
  /** Why it is where it is, and what the next step waits for, with the evidence of now; only in the answer about one route. */
  readonly explanation?: Explanation | null;
}

/** A view is fetched several times a second; after so long without an answer it is old, ms. */
const OUTAGE_MS = 30_000;

/** Phases in which an attempt is under way. */
export const runningPhases: ReadonlySet<string> = new Set(["pending", "shadow", "canary", "observing"]);

/** Routes that control has heard of, in alphabetical order. */
export function routesOf(views: Views): string[] {
  const names = new Set([...keysOf(views.rollouts), ...keysOf(views.states), ...keysOf(views.routing), ...views.gateEvents.routes()]);
  return [...names].sort();
}

export function isKnown(views: Views, route: string): boolean {
  return views.rollouts.get(route) !== undefined || views.states.get(route) !== undefined || views.routing.get(route) !== undefined;
}

export function routeSummary(views: Views, route: string, nowMs: number): RouteSummary {
  const view = routeView(views, route, nowMs);
  const { rollout, attempt, phase, condition, step, ladder, baseline, candidate, sharePct, epoch, braked, reasons, message, changedAtMs } = view;
  const gateways = { obeyed: view.gateways.obeyed, live: view.gateways.live };
  return { route, rollout, attempt, phase, condition, step, ladder, baseline, candidate, sharePct, epoch, braked, reasons, message, changedAtMs, gateways };
}

export function routeView(views: Views, route: string, nowMs: number): RouteView {
  const declared = declaredOf(views, route);
  const entry = views.states.get(route);
  const table = views.routing.get(route);
  const rollout = entry?.rollout ?? table?.rollout ?? "";
  const attempt = entry?.attempt ?? table?.attempt ?? 0;
  const brake = bindingBrake(views.brakes, { route, rollout, attempt });
  const all = views.gateEvents.newest(route, { limit: Number.MAX_SAFE_INTEGER });
  const current = all.filter((event) => event.rollout === rollout && event.attempt === attempt);
  const evidence = current.find((event) => event.signals.length > 0);
  const spec = declared?.spec as { readonly baseline?: string; readonly candidate?: string; readonly ladder?: readonly number[] } | undefined;
  const isRunning = entry !== undefined && runningPhases.has(entry.phase);
  const windows = windowsOf(views, route).filter((window) => !isRunning || (window.rollout === rollout && window.attempt === attempt));
  return {
    route,
    rollout,
    attempt,
    phase: entry?.phase ?? "none",
    condition: entry?.condition ?? "progressing",
    step: entry?.step ?? -1,
    ladder: spec?.ladder ?? DEFAULT_LADDER,
    baseline: table?.baseline ?? spec?.baseline ?? "",
    candidate: table?.candidate ?? spec?.candidate ?? "",
    sharePct: candidateSharePct(table),
    epoch: table?.epoch ?? 0,
    braked: brake !== undefined,
    reasons: entry?.reasons ?? [],
    message: datedMessage(messageOf(entry, declared), wallOf(views.routing.freshAtMs()), Date.now()),
    changedAtMs: all[0]?.atMs ?? 0,
    declared: declared ?? null,
    state: entry === undefined ? null : headOf(entry),
    routing: table ?? null,
    brake: brake ?? null,
    gateways: obedience(liveGateways(valuesOf(views.fleet), nowMs), { route, table, brake }),
    measuredSharePct: measuredShare(windows),
    signals: evidence?.signals ?? [],
    signalsAtMs: evidence?.atMs ?? 0,
    events: all.slice(0, 20),
    earlier: newestPerEarlierAttempt(all, current),
    windows,
  };
}

/** Windows of a route, by signal, slice, arm. */
export function windowsOf(views: Views, route: string | undefined): WindowView[] {
  const all = [...valuesOf(views.windows)].filter((window) => route === undefined || window.route === route);
  const order = (window: WindowView) =>
    [window.route, window.signal, window.slice, window.exposure, window.arm, window.version, window.evaluatorVersion].join("\u0000");
  return all.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** What the newest gate event about a digest says of it. */
export function standingOf(views: Views, route: string, digest: string): Pick<Declared, "standing" | "refusal"> {
  const event = views.gateEvents.newest(route, { limit: Number.MAX_SAFE_INTEGER }).find(({ specDigest }) => specDigest === digest);
  if (event === undefined) return { standing: "waiting", refusal: "" };
  if (isSpecRefusal(event)) return { standing: "refused", refusal: event.message };
  return isSpecKept(event) ? { standing: "queued", refusal: event.message } : { standing: "started", refusal: "" };
}

export function isSpecRefusal({ reasons }: Pick<GateEvent, "reasons">): boolean {
  return specRefusals.some((reason) => reasons.includes(reason));
}

/** Why a declared spec does not start; an attempt's own events name an attempt. */
const specRefusals = ["spec_refused", "spec_conflict", "withdrawn"];

/** The decider keeps it until its turn, an approval, or room under the shared cap. */
function isSpecKept({ attempt, reasons }: GateEvent): boolean {
  return attempt === 0 && (reasons.includes("queued") || reasons.includes("awaiting_approval"));
}

function declaredOf(views: Views, route: string): Declared | undefined {
  const record = views.rollouts.get(route);
  if (record === undefined) return undefined;
  return { ...standingOf(views, route, record.digest), digest: record.digest, actor: record.actor, atMs: record.atMs, spec: parsedOrText(record.spec) };
}

/** Any system may write `rollouts`: a spec that is no JSON is shown as it is, so that people see what is wrong. */
function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * A message with the time that it is of when Kafka has not been heard since: in an outage everything else in the view looks as if it were of now.
 * @param freshAtMs last fetch that was answered, epoch ms; 0: none yet
 */
export function datedMessage(message: string, freshAtMs: number, nowMs: number): string {
  if (freshAtMs === 0 || nowMs - freshAtMs < OUTAGE_MS) return message;
  return `control has not heard Kafka since ${new Date(freshAtMs).toISOString()}, all of this is of then: ${message}`;
}

function messageOf(entry: StateEntry | undefined, declared: Declared | undefined): string {
  if (declared?.standing === "refused") return declared.refusal;
  if (declared?.standing === "waiting") return "declared; the decider has not taken it up yet";
  return entry?.message ?? "no rollout is declared";
}

function measuredShare(windows: readonly WindowView[]): number | null {
  const calls = windows.filter((window) => window.signal === "error_rate" && window.slice === "all" && window.exposure === "served");
  const total = calls.reduce((sum, window) => sum + window.records, 0);
  if (total === 0) return null;
  return (100 * calls.filter((window) => window.arm === "candidate").reduce((sum, window) => sum + window.records, 0)) / total;
}

function newestPerEarlierAttempt(all: readonly GateEvent[], current: readonly GateEvent[]): GateEvent[] {
  const seen = new Set(current.map((event) => `${event.rollout}\u0000${event.attempt}`));
  return all.filter((event) => {
    const key = `${event.rollout}\u0000${event.attempt}`;
    if (event.attempt === 0 || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function keysOf(table: { entries(): IterableIterator<[string, unknown]> }): string[] {
  return [...table.entries()].map(([key]) => key);
}

function* valuesOf<V>(table: { entries(): IterableIterator<[string, V]> }): Iterable<V> {
  for (const [, value] of table.entries()) yield value;
}
