import type { Score } from "../../../topics/index.ts";
import { type Contribution, HUNDREDTHS, lossOf, uncounted } from "./contribution.ts";
import { isCallSignal } from "./names.ts";

type Result = Score["results"][number];

/** The value of a result in the units of its kind; null when it has none that counts. */
function valueIn(score: Score, { form, status, value, twinValue }: Result): number | null {
  if (status !== "scored" || value === null) return null;
  if (score.exposure === "shadow") return twinValue === null ? null : lossOf(value) - lossOf(twinValue);
  return form === "grid" ? lossOf(value) : Math.round(lossOf(value) / HUNDREDTHS);
}

/**
 * What one evaluator's verdict adds to the partials. How many calls were in scope and drawn was counted by the sampler. A result without
 * a usable value (a failed evaluator, half a pair, a status that this version does not know) is `failed`, never a low score.
 */
export function scoreContributions(score: Score): Contribution[] {
  const { evaluatorVersion, samplePpm, exposure } = score;
  return score.results
    .filter(({ signal }) => !isCallSignal(signal))
    .map((result) => {
      const value = valueIn(score, result);
      const abstained = Number(result.status === "abstained");
      const failed = Number(value === null && abstained === 0);
      const kind = exposure === "shadow" ? "paired" : result.form === "grid" ? "grid" : "binary";
      return { ...uncounted, signal: result.signal, kind, evaluatorVersion, samplePpm, abstained, failed, value };
    });
}
