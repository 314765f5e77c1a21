import { unscoredRule } from "../rollout/evidence/missing.ts";
import { canProve, isRequiredInShadow, type PlannedSignal, type RolloutPlan } from "../rollout/spec/plan.ts";
import { differences, withFailures } from "./distributions.ts";
import { type ArmRates, type Asked, minutesAgainstFloor, minutesOfPairs, minutesToAdvance, minutesToFreeze } from "./growth.ts";
import { type Shape, shapeOf, testedMargin } from "./shapes.ts";
import type { PlannedTraffic, TrafficAssumption } from "./traffic.ts";

/** One of the tests that a signal consists of. Minutes, medians; null: never. */
export interface SignalTest {
  readonly name: "comparison" | "floor" | "pairs" | "reverse";
  /** For a candidate that is worse by `harm`; of tests that stop nothing null. */
  readonly freeze: (harm: number) => number | null;
  readonly advance: (harm: number) => number | null;
}

/** Shares of a signal's weight beside the comparison, as the decider deals them. */
const FLOOR_SHARE = 0.5;
const RUNAWAY_SHARE = 0.1;
const MINUTE_MS = 60_000;

interface About {
  readonly plan: RolloutPlan;
  readonly step: PlannedTraffic;
  readonly traffic: TrafficAssumption;
}

/** Records per minute that a signal has in each arm. */
export function ratesOf(signal: PlannedSignal, step: PlannedTraffic): ArmRates {
  return signal.group === "judge" ? step.judged : step.calls;
}

/** Minutes from a call to its evidence: outcomes are counted when their maturity is over, not before. Without one they come when they come, which is not planned. */
export const lagOf = ({ maturityMs }: Pick<PlannedSignal, "maturityMs">): number => (maturityMs ?? 0) / MINUTE_MS;

/** Whether a step cannot be left before this signal is proven safe. */
export function isRequired(signal: PlannedSignal, step: PlannedTraffic): boolean {
  if (step.phase === "observing" || signal.tier !== "guardrail" || !canProve(signal)) return false;
  if (step.phase === "shadow") return isRequiredInShadow(signal);
  return !step.isWithoutProof || signal.floor !== null;
}

/** The tests of a guardrail in a step. */
export function testsOf(signal: PlannedSignal, about: About): SignalTest[] {
  const { plan, step, traffic } = about;
  // Nobody saw a mirrored answer: nothing comes of it.
  if (step.phase === "shadow" && signal.source === "outcome") return [];
  const known = traffic.baseline?.[signal.name] ?? {};
  const shape = shapeOf(signal, known);
  const unscored = signal.source === "judge" ? (known.unscored ?? 0) : 0;
  const beside = signal.floor !== null ? FLOOR_SHARE : signal.kind === "mean" ? RUNAWAY_SHARE : 0;
  const share = (of: number) => plan.alpha * signal.weight * step.restartShare * of;
  const common = { deff: Math.max(1, traffic.deff?.[signal.name] ?? 1), paneMinutes: plan.paneMs / MINUTE_MS };
  const ofSlices = plan.slices.length === 0 ? 1 : 0.5;
  const relative: TestAsked = {
    freeze: { ...common, alpha: share((1 - beside) * ofSlices) },
    advance: { ...common, alpha: plan.alphaAdvance },
    unscored,
    warmUp: warmUpOf(signal, about),
  };
  const floor = floorTest(signal, shape, about, { ...relative, freeze: { ...common, alpha: share(FLOOR_SHARE) } });
  // Without proof only floors must be safe.
  const isRelativeAsked = !(step.isWithoutProof && step.phase === "canary");
  const all = step.phase === "shadow" ? shadowTests(signal, shape, step, relative) : servedTests(signal, shape, step, relative);
  const compared = all.map((test) => matured(test, lagOf(signal)));
  const asked = isRelativeAsked ? compared : compared.map((test) => ({ ...test, advance: () => 0 }));
  return [...asked, ...floor.map((test) => matured(test, lagOf(signal)))];
}

interface TestAsked {
  readonly freeze: Asked;
  readonly advance: Asked;
  readonly unscored: number;
  /** Minutes before the first block can be compared. */
  readonly warmUp: number;
}

const later = (minutes: number | null, warmUp: number): number | null => (minutes === null ? null : minutes + warmUp);

/** A test whose records come later than their calls. */
const matured = ({ name, freeze, advance }: SignalTest, lag: number): SignalTest => ({
  name,
  freeze: (harm) => later(freeze(harm), lag),
  advance: (harm) => later(advance(harm), lag),
});

/** A percentile needs a threshold and a mean a cap, both from the baseline's earlier records; after shadow they are there. */
function warmUpOf({ kind }: PlannedSignal, { plan, step }: About): number {
  if (kind !== "percentile" && kind !== "mean") return 0;
  const isFirst = step.step === -1 || (step.step === 0 && plan.shadow === null);
  return isFirst ? plan.percentileMinRecords / Math.max(step.calls.baseline, 1e-9) : 0;
}

/** Limit to advance: what was drawn and not scored counts as failed (statistics.md section 1.8); null: nothing could be proven. */
export function limitToAdvance(signal: PlannedSignal, unscored: number): number | null {
  const { limit } = testedMargin(signal);
  if (signal.source !== "judge") return limit;
  return unscoredRule(limit, unscored)?.limit ?? null;
}

function servedTests(signal: PlannedSignal, shape: Shape, step: PlannedTraffic, asked: TestAsked): SignalTest[] {
  const rates = ratesOf(signal, step);
  const limit = limitToAdvance(signal, asked.unscored);
  const comparison: SignalTest = {
    name: "comparison",
    freeze: (harm) => later(minutesToFreeze(shape.toFreeze(harm), scoredOnly(rates, asked.unscored), asked.freeze), asked.warmUp),
    advance: (harm) => {
      if (limit === null) return null;
      const compared = shape.toAdvance(harm, limit);
      const isComposite = signal.source === "judge" && unscoredRule(limit, asked.unscored)?.as === "composite";
      const baseline = isComposite ? withFailures(compared.baseline, asked.unscored) : compared.baseline;
      const both = { ...compared, candidate: withFailures(compared.candidate, asked.unscored), baseline };
      return later(minutesToAdvance(both, rates, asked.advance), asked.warmUp);
    },
  };
  if (signal.source !== "missing") return [comparison];
  // That the baseline does not miss more either: the arms exchanged.
  const reverse: SignalTest = {
    name: "reverse",
    freeze: () => null,
    advance: (harm) => {
      const { margin, v } = shape.toAdvance(0);
      const exchanged = { margin, candidate: shape.baseline, baseline: shape.candidate(harm), v };
      return minutesToAdvance(exchanged, { candidate: rates.baseline, baseline: rates.candidate }, asked.advance);
    },
  };
  return [comparison, reverse];
}

const scoredOnly = ({ candidate, baseline }: ArmRates, unscored: number): ArmRates => ({
  candidate: candidate * (1 - unscored),
  baseline: baseline * (1 - unscored),
});

/** Mirrored calls: pairs of pass/fail and scores; costs against what served calls cost; latencies and missing scores are only shown. */
function shadowTests(signal: PlannedSignal, shape: Shape, step: PlannedTraffic, asked: TestAsked): SignalTest[] {
  if (signal.kind === "percentile" || signal.source === "missing") return [];
  if (signal.kind === "mean") return servedTests(signal, shape, step, asked).map((test) => ({ ...test, advance: () => 0 }));
  const { candidate: pairs } = ratesOf(signal, step);
  const limit = limitToAdvance(signal, asked.unscored);
  const differ = (harm: number) => differences(shape.candidate(harm), shape.baseline);
  return [
    {
      name: "pairs",
      freeze: (harm) => minutesOfPairs(differ(harm), testedMargin(signal).tolerated, pairs * (1 - asked.unscored), "freeze", asked.freeze),
      advance: (harm) => {
        if (limit === null) return null;
        const scored = differ(harm);
        // A pair without a score counts as failed on both sides: a difference of 0.
        const all = { values: [...scored.values, 0], counts: [...scored.counts.map((p) => p * (1 - asked.unscored)), asked.unscored] };
        return minutesOfPairs(all, limit, pairs, "advance", asked.advance);
      },
    },
  ];
}

/** A floor binds while the baseline itself is not proven below it. */
function floorTest(signal: PlannedSignal, shape: Shape, { step }: About, asked: TestAsked): SignalTest[] {
  if (signal.floor === null) return [];
  const t = 1 - signal.floor;
  const baselineLoss = shape.baseline.counts[shape.baseline.values.indexOf(1)] ?? 0;
  if (baselineLoss > t && !signal.isFloorStrict) return [];
  const perMinute = ratesOf(signal, step).candidate;
  return [
    {
      name: "floor",
      freeze: (harm) => minutesAgainstFloor(shape.candidate(harm), t, perMinute * (1 - asked.unscored), "freeze", asked.freeze),
      advance: (harm) => minutesAgainstFloor(withFailures(shape.candidate(harm), asked.unscored), t, perMinute, "advance", asked.advance),
    },
  ];
}
