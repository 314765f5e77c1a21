import { type Arrivals, arrivalsOf } from "./arrivals.ts";
import { checksWatcher, type Watcher } from "./checks.ts";
import { HeadgateWatch } from "./headgate.ts";
import type { Flips } from "./panes.ts";
import { LEAST_CALLS, readyMade } from "./ready-made.ts";
import { describeRule, type Rule } from "./rule.ts";
import { type AuditCall, type GuardedSignal, guardedSignals } from "./signals.ts";
import { type RolloutOutcome, simulate } from "./simulate.ts";
import { type Columns, carries, columnsOf, lossRate, onlyColumns, recordedValue, scaledColumns } from "./traffic.ts";

export interface AuditSettings {
  readonly rules: readonly Rule[];
  /** Calls per second of all users; null: as recorded, or assumed. */
  readonly callsPerSecond: number | null;
  /** Candidate's share of calls, in (0, 1). */
  readonly share: number;
  readonly hours: number;
  readonly seed: number;
}

/** Calls per second of traffic that is recorded without times, unless given. */
export const ASSUMED_CALLS_PER_SECOND = 2;

/** Who is put to the test. */
export interface Contender {
  readonly kind: "own" | "ready_made";
  readonly name: string;
  /** How the rule is read, one line. */
  readonly reading: string;
  /** What it looks at. */
  readonly fields: readonly string[];
  readonly watcher: Watcher;
}

export type EffectName = "task" | "latency" | "schema" | "error";

/** Harm that is put into the candidate's calls. */
export interface Effect {
  readonly name: EffectName;
  /** Heading of its column. */
  readonly title: string;
  /** For sentences: `when P95 was really 15 % higher`. */
  readonly clause: string;
}

const effects: Readonly<Record<EffectName, Omit<Effect, "name">>> = {
  task: { title: "task −5 pt", clause: "5 points fewer tasks succeeded" },
  latency: { title: "P95 +15 %", clause: "P95 latency was 15 % higher" },
  schema: { title: "2 % invalid", clause: "2 % of the replies were made invalid" },
  error: { title: "2 % errors", clause: "2 % of the calls were made to fail" },
};
const TASK_POINTS = 0.05;
const LATENCY_FACTOR = 1.15;
const MADE_BAD = 0.02;

/** Everything that simulated rollouts need, from calls and settings alone: two processes prepare the same. */
export interface Prepared {
  readonly settings: AuditSettings;
  readonly columns: Columns;
  readonly arrivals: Arrivals;
  readonly signals: readonly GuardedSignal[];
  readonly contenders: readonly Contender[];
  readonly effects: readonly Effect[];
}

export function prepareAudit(calls: readonly AuditCall[], settings: AuditSettings): Prepared {
  const all = columnsOf(calls);
  const signals = guardedSignals((field) => carries(all, field));
  const wanted = new Set([...signals.map(({ measure }) => measure.field), ...settings.rules.map(({ measure }) => measure.field)]);
  const columns = onlyColumns(all, (field) => wanted.has(field));
  const arrivals = arrivalsOf(
    calls.map(({ atMs }) => atMs),
    settings.callsPerSecond,
    ASSUMED_CALLS_PER_SECOND,
  );
  const own = settings.rules.map(
    (rule): Contender => ({ kind: "own", name: rule.text, reading: describeRule(rule, LEAST_CALLS), fields: [rule.measure.field], watcher: watcherOf(rule) }),
  );
  const usual = readyMade(signals, ({ measure }) => recordedValue(columns, measure)).map(
    (rule): Contender => ({ kind: "ready_made", ...rule, fields: [...wanted] }),
  );
  return { settings, columns, arrivals, signals, contenders: [...own, ...usual], effects: effectsOf(columns) };
}

/** What a rule names must be in the calls; the caller has checked it. */
export function missingFields(calls: readonly AuditCall[], rules: readonly Rule[]): Rule[] {
  const columns = columnsOf(calls);
  return rules.filter(({ measure }) => !carries(columns, measure.field));
}

function watcherOf(rule: Rule): Watcher {
  const { windowMinutes, everyMinutes, times } = rule;
  return checksWatcher({ conditions: [rule], windowMinutes, everyMinutes, leastCalls: LEAST_CALLS, failures: times, counted: "row" });
}

/** The harm that the calls can show. Errors stand in where no schema is checked. */
function effectsOf(columns: Columns): Effect[] {
  const names: EffectName[] = ["task", "latency", carries(columns, "schema") ? "schema" : "error"];
  return names.filter((name) => carries(columns, name)).map((name) => ({ name, ...effects[name] }));
}

function harmed(columns: Columns, effect: EffectName): { readonly candidate: Columns; readonly flips: Flips | null } {
  if (effect === "latency") return { candidate: scaledColumns(columns, "latency", LATENCY_FACTOR), flips: null };
  const chance = effect === "task" ? Math.min(1, TASK_POINTS / Math.max(1e-9, 1 - lossRate(columns, "task"))) : MADE_BAD;
  return { candidate: columns, flips: columns.rates.map(({ field }) => (field === effect ? chance : 0)) };
}

/**
 * Simulates rollouts of a prepared audit.
 *
 * @param effect null: the candidate is the same model
 * @param streams numbers of the rollouts; each is the same whoever simulates it
 */
export function rollouts(prepared: Prepared, effect: EffectName | null, streams: Iterable<number>): Generator<RolloutOutcome> {
  const { columns, arrivals, signals, contenders, settings } = prepared;
  const { candidate, flips } = effect === null ? { candidate: columns, flips: null } : harmed(columns, effect);
  return simulate(
    {
      baseline: columns,
      candidate,
      flips,
      arrivals,
      share: settings.share,
      minutes: Math.round(settings.hours * 60),
      rules: contenders.map(({ watcher }) => watcher),
      headgate: signals.length === 0 ? null : new HeadgateWatch(signals, columns),
      seed: settings.seed,
    },
    streams,
  );
}
