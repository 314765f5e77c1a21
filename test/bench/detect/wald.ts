import { COST_VARIANCE, latencyChances, type Model, SCORE_VARIANCE, type Scenario } from "./traffic.ts";

/** Kullback-Leibler divergence of two coins, in nats. */
function divergence(p: number, q: number): number {
  const part = (x: number, y: number) => (x === 0 ? 0 : x * Math.log(x / y));
  return part(p, q) + part(1 - p, 1 - q);
}

/** Information per minute against the nearest pair of rates that a null allows: harm of at most d. */
function twoSample([rateA, rateB]: readonly [number, number], pa: number, pb: number, d: number): number {
  const at = (q: number) => rateA * divergence(pa, Math.min(q + d, 1 - 1e-9)) + rateB * divergence(pb, q);
  let [low, high] = [1e-9, Math.max(pa, pb)];
  for (let i = 0; i < 200; i++) {
    const [one, two] = [low + (high - low) / 3, high - (high - low) / 3];
    if (at(one) < at(two)) high = two;
    else low = one;
  }
  return at((low + high) / 2);
}

/** Normal approximation for means: harm beyond the null, over its variance per minute. */
function ofMeans([rateA, rateB]: readonly [number, number], harm: number, s: number, v: { readonly a: number; readonly b: number }): number {
  return (harm * harm) / 2 / (v.a / rateA + (s * s * v.b) / rateB);
}

/**
 * Minutes that the best test of one known harm needs on average, by Wald's bound log(1/alpha)/KL: no test with fewer false
 * stops than alpha is faster. One signal, the effect known in advance; score and cost by a normal approximation.
 *
 * @see Wald 1945, Sequential tests of statistical hypotheses
 */
export function waldMinutes(model: Model, { harmed, candidate, base }: Scenario, alpha: number, baseline = base ?? candidate): number {
  const information = () => {
    switch (harmed) {
      case "schema":
        return model.calls[0] * divergence(candidate.schema, 0.005);
      case "error":
        return twoSample(model.calls, candidate.error, baseline.error, 0.002);
      case "task":
        return twoSample(model.judged, candidate.task, baseline.task, 0.01);
      case "groundedness":
        return ofMeans(model.judged, candidate.groundedness - baseline.groundedness - 0.006, 1, { a: SCORE_VARIANCE, b: SCORE_VARIANCE });
      case "latency":
        return twoSample(model.calls, latencyChances(candidate.latency)[1], latencyChances(1)[0], 0);
      default:
        return ofMeans(model.calls, (candidate.cost - 1.04) / 20, 1.04, { a: COST_VARIANCE * candidate.cost ** 2, b: COST_VARIANCE });
    }
  };
  return Math.log(1 / alpha) / information();
}
