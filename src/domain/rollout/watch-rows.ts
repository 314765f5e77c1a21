import type { SignalEvidence } from "../../../topics/index.ts";
import { nowOf, type Run, sharesOf } from "../drift/detector.ts";
import { type Golden, goldenLogM, goldenVerdict } from "../drift/golden.ts";
import type { Profile } from "../drift/profile.ts";
import { profileOf, type WatchState } from "../drift/watch-state.ts";
import { FREEZE_WEIGHTS } from "../stats/bet.ts";
import { type Detector, detectorLogM } from "../stats/drift.ts";
import { NANO_MIN } from "../stats/nano-nats.ts";
import type { Attempt } from "./state.ts";

type Process = SignalEvidence["processes"][number];

/** M of 0 is written as the smallest number there is. */
const qOf = (m: Detector) => m ?? NANO_MIN;

/** What an event of the drift watch says of each signal of the reference, and of the golden prompts: sums from which its evidence can be recomputed. */
export function driftRows({ run, golden, ...watch }: WatchState, { plan }: Attempt): SignalEvidence[] {
  const profile = run === null ? null : profileOf({ ...watch, run, golden }, run.reference);
  const rows = run === null || profile === null ? [] : signalRows(run, profile, plan);
  return golden === null || golden.n === 0 ? rows : [...rows, goldenRow(golden)];
}

function signalRows(run: Run, profile: Profile, plan: Attempt["plan"]): SignalEvidence[] {
  const shares = sharesOf(profile);
  const rows = profile.signals.flatMap(({ signal, bounds }): SignalEvidence[] => {
    const state = run.detectors[signal.name];
    if (bounds === null || state === undefined) return [];
    const planned = plan.signals.find(({ name }) => name === signal.name);
    const isRateOfGood = planned?.direction === "lower_is_worse" && signal.form !== "exceedance";
    const shown = (loss: number) => (isRateOfGood ? 1 - loss : loss);
    const mean = state.n === 0 ? null : state.sum / state.n;
    const row: SignalEvidence = {
      ...common,
      // Its values are shares of calls and not what the signal is measured in.
      signal: signal.form === "exceedance" ? `share_beyond_${signal.name}` : signal.name,
      gate: planned?.gate ?? "none",
      direction: planned?.direction ?? "higher_is_worse",
      verdict: "inconclusive",
      candidateN: state.n,
      baselineN: bounds.n,
      candidateValue: mean === null ? null : shown(mean),
      baselineValue: shown(bounds.mean),
      delta: mean === null ? null : mean - bounds.mean,
      bound: Math.max(...bounds.byCell) - bounds.mean,
      tolerated: signal.tolerated,
      limit: signal.tolerated + signal.span,
      weight: shares.get(signal.name) ?? 0,
      logEFreeze: qOf(detectorLogM(nowOf(state, bounds.deff), FREEZE_WEIGHTS)),
      processes: [process("drift", nowOf(state, bounds.deff))],
    };
    return [row];
  });
  const largest = Math.max(...rows.map(({ logEFreeze }) => logEFreeze));
  return rows.map((row) => (row.logEFreeze === largest ? { ...row, verdict: "breach" } : row));
}

/** The design effect is in the sums already: M is no product that could be divided afterwards. */
function process(name: string, m: readonly Detector[]): Process {
  return { name, weights: [...FREEZE_WEIGHTS], share: 1, q: m.map(qOf), setAside: [], deff: 1 };
}

function goldenRow(golden: Golden): SignalEvidence {
  const { n, sum } = golden.detector;
  const reference = golden.failed / golden.n;
  return {
    ...common,
    signal: "golden_prompts",
    gate: "none",
    tier: "watch",
    direction: "lower_is_worse",
    verdict: n === 0 ? "no_data" : goldenVerdict(golden, golden.version) === "failing" ? "breach" : "inconclusive",
    candidateN: n,
    baselineN: golden.n,
    candidateValue: n === 0 ? null : 1 - sum / n,
    baselineValue: 1 - reference,
    delta: n === 0 ? null : sum / n - reference,
    bound: golden.bound === null ? null : golden.bound - reference,
    logEFreeze: qOf(goldenLogM(golden)),
    processes: [process("golden", nowOf(golden.detector, 1))],
  };
}

const common: Omit<SignalEvidence, "signal" | "gate" | "direction" | "verdict"> = {
  slice: "all",
  tier: "guardrail",
  exposure: "served",
  candidateN: 0,
  baselineN: 0,
  candidateValue: null,
  baselineValue: null,
  delta: null,
  bound: null,
  tolerated: 0,
  limit: 0,
  relative: false,
  evaluatorVersion: "",
  weight: 0,
  edition: 0,
  sliceShare: 1,
  alphaSpent: 0,
  logEFreeze: 0,
  logEFreezeMinus: 0,
  logEAdvance: 0,
  intervalPrecision: 0,
  intervalWeighted: 0,
  intervalScale: 1,
  processes: [],
};
