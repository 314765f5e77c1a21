import type { Watcher } from "./checks.ts";
import { isClearlyLarger } from "./mann-whitney.ts";
import type { Measure } from "./signals.ts";
import type { AuditArm, View } from "./windows.ts";

/** Minutes from one analysis to the next, each of what came since the last. */
const INTERVAL_MINUTES = 60;
/** Points that an analysis needs of each arm, as Spinnaker's documentation advises. */
const LEAST_POINTS = 50;
const TOLERANCE = 0.25;

/** 1 when more is worse. */
const harmSign = (measure: Measure) => (measure.kind === "rate" && !measure.isLoss ? -1 : 1);

/**
 * A reading of Kayenta's judge: each hour, for each metric, the minutes' values of both arms by Mann-Whitney; any metric
 * clearly worse stops (each is critical).
 *
 * @see spinnaker/kayenta, MannWhitneyClassifier and NetflixACAJudge: confidence 0.98, tolerance 0.25
 */
export function kayentaWatcher(measures: readonly Measure[]): Watcher {
  const points: Record<AuditArm, number[]>[] = measures.map(() => ({ candidate: [], baseline: [] }));
  const clear = () => {
    for (const { candidate, baseline } of points) {
      candidate.length = 0;
      baseline.length = 0;
    }
  };
  const note = (view: View) =>
    measures.forEach((measure, i) => {
      for (const arm of ["candidate", "baseline"] as const) {
        const value = view.value(arm, measure, 1);
        if (!Number.isNaN(value)) points[i]?.[arm].push(value * harmSign(measure));
      }
    });
  return {
    needs: [{ minutes: 1, measures }],
    reset: clear,
    look(minute, view) {
      note(view);
      if (minute % INTERVAL_MINUTES !== 0) return false;
      const isWorse = points.some(
        ({ candidate, baseline }) => candidate.length >= LEAST_POINTS && baseline.length >= LEAST_POINTS && isClearlyLarger(candidate, baseline, TOLERANCE),
      );
      clear();
      return isWorse;
    },
  };
}
