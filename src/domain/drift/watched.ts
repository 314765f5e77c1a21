import type { Block } from "../rollout/input.ts";
import type { PlannedSignal } from "../rollout/spec/plan.ts";
import { exceedances } from "../stats/exceedance.ts";
import { binaryHistogram, type Histogram, total } from "../stats/histogram.ts";
import { bucketShift, OVERFLOW_BUCKET } from "../stats/log-bucket.ts";

/** How a signal is watched: pass and fail; a score; or how often a quantity exceeds the reference's own P95, shifted by what is tolerated. */
export interface WatchedSignal {
  readonly name: string;
  readonly group: PlannedSignal["group"];
  readonly form: "binary" | "score" | "exceedance";
  /** Added to the reference's mean loss: `tolerated`, times J of a calibrated judge; 0 for exceedances, whose margin is the shift. */
  readonly tolerated: number;
  /** `limit - tolerated` on the scale of the losses: what the alternatives are multiples of. */
  readonly span: number;
  /** Whole log buckets that the threshold is shifted by; 0 for the others. */
  readonly shift: number;
  readonly weight: number;
}

/** Share of the reference's records beyond its threshold, and what the alternatives of an exceedance are multiples of (statistics.md section 1.1, table). */
export const EXCEEDING = 0.05;
const EXCEEDANCE_SPAN = EXCEEDING / 2;

/** The guardrails of a plan that can be compared with the past: outcomes come too late to be news. Unscored records are neither good nor bad here, as in freezing. */
export function watchedSignals(signals: readonly PlannedSignal[]): WatchedSignal[] {
  return signals.filter(({ tier, source, weight }) => tier === "guardrail" && source !== "missing" && source !== "outcome" && weight > 0).map(watched);
}

function watched({ name, group, kind, margin, shift, judgeJ, weight }: PlannedSignal): WatchedSignal {
  const { tolerated, limit } = margin;
  if (kind === "binary" || kind === "score") {
    return { name, group, form: kind, tolerated: tolerated * judgeJ, span: (limit - tolerated) * judgeJ, shift: 0, weight };
  }
  return { name, group, form: "exceedance", tolerated: 0, span: EXCEEDANCE_SPAN, shift: shift?.tolerated ?? bucketShift(1 + tolerated), weight };
}

const blockKinds = { binary: "binary", score: "grid", exceedance: "log" } as const;

/** Whether a block can be counted: of the signal's kind, and adding up. What is not is no evidence; nobody but headgate writes blocks. */
export function isCountable(block: Block, { form }: WatchedSignal): boolean {
  return block.kind === blockKinds[form] && block.values.length === block.counts.length && total(block) === block.scored && block.scored > 0;
}

/** Losses in [0, 1] of a block; of an exceedance how many records reach the shifted threshold. */
export function lossesOf(block: Histogram, signal: WatchedSignal, threshold: number, shift = signal.shift): Histogram {
  if (signal.form === "score") return { values: block.values.map((hundredths) => hundredths / 100), counts: block.counts };
  const from = signal.form === "binary" ? 1 : Math.min(threshold + shift, OVERFLOW_BUCKET);
  return binaryHistogram(total(block), exceedances(block, from));
}
