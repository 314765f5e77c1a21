import type { SignalEvidence } from "../../../topics/index.ts";
import { alphaSpent } from "../stats/combine.ts";
import { emptyInterval, interval } from "../stats/interval.ts";
import { ln } from "../stats/ln.ts";
import { nano } from "../stats/nano-nats.ts";
import { type Assessment, advancesOf, detailsOf, type SliceAssessment } from "./evidence/assess.ts";
import { knownBefore } from "./evidence/baseline.ts";
import { shownDelta, shownValue } from "./evidence/shown.ts";
import { sliceVerdict, verdictOf } from "./gates/gate.ts";
import type { Look } from "./look.ts";
import type { Attempt } from "./state.ts";

/** What a gate event says of a signal: a row for all traffic, and one for each slice of the spec. */
export function signalRows(found: Assessment, attempt: Attempt, look: Look): SignalEvidence[] {
  return found.slices.map((slice) => row(found, slice, attempt, look));
}

function row(found: Assessment, slice: SliceAssessment, attempt: Attempt, look: Look): SignalEvidence {
  const { planned, state, weight } = found;
  const isAll = slice.name === "all";
  const { candidate, baseline } = slice.shown;
  const { tolerated, limit, relative } = planned.margin;
  const { alpha } = attempt.plan;
  const bound = isAll ? boundOf(found, attempt) : noBound;
  const share = weight * slice.share;
  return {
    signal: planned.name,
    slice: slice.name,
    gate: planned.gate,
    tier: planned.tier,
    verdict: isAll ? verdictOf(found, look.crossing) : sliceVerdict(found, slice, look.crossing),
    direction: planned.direction,
    exposure: attempt.phase === "shadow" ? "shadow" : "served",
    candidateN: candidate.n,
    baselineN: isAll ? found.baselineN : baseline.n,
    candidateValue: shownValue(candidate, planned),
    baselineValue: shownValue(baseline, planned),
    delta: shownDelta(slice.shown, planned),
    ...bound,
    tolerated,
    limit,
    relative,
    evaluatorVersion: state.evaluatorVersion,
    weight,
    edition: found.edition,
    sliceShare: slice.share,
    alphaSpent: share === 0 ? 0 : alphaSpent(alpha, slice.logE + nano(ln(share))),
    logEFreeze: slice.logE,
    logEFreezeMinus: slice.logEMinus,
    logEAdvance: isAll ? found.logEAdvance : 0,
    processes: [...slice.terms.map(detailsOf), ...(isAll && weight > 0 ? advancing(found, attempt) : [])],
  };
}

function advancing({ planned, state }: Assessment, { step }: Attempt): SignalEvidence["processes"] {
  return advancesOf(planned, state, step).flatMap(({ name, run }) =>
    run === undefined ? [] : [{ name, weights: [...run.process.weights], share: 0, q: [...run.process.q], setAside: [], deff: run.deff }],
  );
}

type Bound = Pick<SignalEvidence, "bound" | "intervalPrecision" | "intervalWeighted" | "intervalScale">;
const noBound: Bound = { bound: null, intervalPrecision: emptyInterval.precision, intervalWeighted: emptyInterval.weighted, intervalScale: 1 };

/** The end of the interval that matters while nothing is proven: how bad it can still be; once harm is proven, how bad it is at least. */
function boundOf({ planned, state }: Assessment, { plan }: Attempt): Bound {
  // A percentile's blocks are compared by exceedances: their difference is no ratio of percentiles.
  if (planned.kind === "percentile") return noBound;
  const { precision, weighted } = state.interval;
  const scale = planned.kind === "mean" ? knownBefore(state, null, planned).pref : 1;
  const { tolerated, limit } = planned.margin;
  const shown = interval(state.interval, (limit - tolerated) * scale, plan.alpha);
  const bound = shown === null ? null : (shown.low > tolerated * scale ? shown.low : shown.high) / scale;
  return { bound, intervalPrecision: precision, intervalWeighted: weighted, intervalScale: scale };
}
