import type { AuditSettings, Effect, Prepared } from "./prepare.ts";
import type { GuardedSignal } from "./signals.ts";
import type { RolloutOutcome, Stop } from "./simulate.ts";

/** A share of simulated rollouts, with the 95 % interval that the number of rollouts leaves. */
export interface Share {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
  readonly of: number;
}

/** How soon a contender noticed harm. */
export interface Noticing {
  readonly effect: Effect["name"];
  /** False: the rule looks at no signal that the harm touches; what it stops all the same is noise. */
  readonly isLookedAt: boolean;
  /** Rollouts stopped within the hours. */
  readonly stopped: Share;
  /** Median over all rollouts; null: fewer than half were stopped. */
  readonly medianHours: number | null;
  readonly p90Hours: number | null;
  /** Calls that the worse model answered by then, median; null likewise. */
  readonly medianCalls: number | null;
}

export interface ContenderResult {
  readonly kind: "own" | "ready_made" | "headgate";
  readonly name: string;
  readonly reading: string;
  /** Rollouts of an identical model that it stopped. */
  readonly identical: Share;
  readonly noticing: readonly Noticing[];
}

/** What an audit found. JSON-serialisable. */
export interface AuditResult {
  readonly settings: Omit<AuditSettings, "rules">;
  readonly callsPerSecond: number;
  readonly rows: number;
  readonly rollouts: { readonly identical: number; readonly perEffect: number };
  readonly effects: readonly Effect[];
  readonly contenders: readonly ContenderResult[];
  /** Freezes of identical models that went by themselves after 15 minutes, per rollout frozen. */
  readonly thawed: Share;
  /** Where the ready-made rules draw the line, one clause per signal. */
  readonly limits: readonly string[];
  readonly alpha: number;
}

/** Outcomes of all rollouts: of the identical model, and per effect in the order of `effects`. */
export interface Outcomes {
  readonly identical: readonly RolloutOutcome[];
  readonly effects: readonly (readonly RolloutOutcome[])[];
}

const Z = 1.959963984540054;

/** Wilson's interval: honest at 0 and at 1. @see Wilson 1927, doi:10.1080/01621459.1927.10502953 */
export function shareOf(count: number, of: number): Share {
  if (of === 0) return { value: 0, low: 0, high: 1, count, of };
  const p = count / of;
  const scale = 1 + (Z * Z) / of;
  const middle = (p + (Z * Z) / (2 * of)) / scale;
  const half = (Z / scale) * Math.sqrt((p * (1 - p)) / of + (Z * Z) / (4 * of * of));
  return { value: p, low: count === 0 ? 0 : Math.max(0, middle - half), high: count === of ? 1 : Math.min(1, middle + half), count, of };
}

/** A quantile where those that never come are the largest; null when it is one of them. */
function quantile(values: readonly (number | null)[], level: number): number | null {
  const sorted = values.map((value) => value ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const found = sorted[Math.max(0, Math.ceil(level * sorted.length) - 1)] ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(found) ? found : null;
}

type PickStop = (outcome: RolloutOutcome) => Stop | null;

function noticing(
  effect: Effect,
  outcomes: readonly RolloutOutcome[],
  { pick, isLookedAt }: { readonly pick: PickStop; readonly isLookedAt: boolean },
): Noticing {
  const stops = outcomes.map(pick);
  const hours = stops.map((stop) => (stop === null ? null : stop.minute / 60));
  return {
    effect: effect.name,
    isLookedAt,
    stopped: shareOf(stops.filter((stop) => stop !== null).length, stops.length),
    medianHours: quantile(hours, 0.5),
    p90Hours: quantile(hours, 0.9),
    medianCalls: quantile(
      stops.map((stop) => stop?.exposed ?? null),
      0.5,
    ),
  };
}

function limitOf({ measure, preset }: GuardedSignal): string {
  const sign = measure.kind === "rate" && !measure.isLoss ? "−" : "+";
  return `${measure.name} ${sign}${Number((100 * preset.limit).toPrecision(3))}${preset.relative ? " %" : " pt"}`;
}

/** Counts what happened. */
export function summarise(prepared: Prepared, outcomes: Outcomes, about: { readonly callsPerSecond: number; readonly alpha: number }): AuditResult {
  const { effects, contenders, settings, signals } = prepared;
  const result = (of: Omit<ContenderResult, "identical" | "noticing">, pick: PickStop, looksAt: (field: Effect["name"]) => boolean): ContenderResult => ({
    ...of,
    identical: shareOf(outcomes.identical.filter((outcome) => pick(outcome) !== null).length, outcomes.identical.length),
    noticing: effects.map((effect, i) => noticing(effect, outcomes.effects[i] ?? [], { pick, isLookedAt: looksAt(effect.name) })),
  });
  const rules = contenders.map(({ kind, name, reading, fields }, i) =>
    result(
      { kind, name, reading },
      (outcome) => outcome.rules[i] ?? null,
      (field) => fields.includes(field),
    ),
  );
  const names = signals.map(({ measure }) => measure.name).join(", ");
  const headgate = (name: string, reading: string, pick: PickStop) => result({ kind: "headgate", name, reading }, pick, () => true);
  const rows = [
    headgate("headgate freezes", `first freeze by any of ${names}; alpha ${about.alpha}, in the first step of the default ladder`, ({ frozen }) => frozen),
    headgate("headgate rolls back", "harm sustained without its two worst panes; for latency and cost the freeze stays instead", ({ sustained }) => sustained),
  ];
  const frozen = outcomes.identical.filter((outcome) => outcome.frozen !== null);
  const { rules: _rules, ...rest } = settings;
  return {
    settings: rest,
    callsPerSecond: about.callsPerSecond,
    rows: prepared.columns.rows,
    rollouts: { identical: outcomes.identical.length, perEffect: outcomes.effects[0]?.length ?? 0 },
    effects,
    contenders: signals.length === 0 ? rules : [...rules, ...rows],
    thawed: shareOf(frozen.filter(({ thaws }) => thaws > 0).length, frozen.length),
    limits: signals.map(limitOf),
    alpha: about.alpha,
  };
}
