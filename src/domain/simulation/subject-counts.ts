import { armDesignEffect, designEffect, SUBJECT_BUCKETS, widened } from "../stats/design-effect.ts";

const TINY = 1e-6;

/** Records and losses of one arm per bucket of subjects, added up in place. */
export class ArmCounts {
  readonly counts: number[] = new Array<number>(SUBJECT_BUCKETS).fill(0);
  /** Sums of losses in [0, 1]. */
  readonly sums: number[] = new Array<number>(SUBJECT_BUCKETS).fill(0);
  n = 0;
  sum = 0;
  sumSquares = 0;

  reset(): void {
    this.counts.fill(0);
    this.sums.fill(0);
    this.n = 0;
    this.sum = 0;
    this.sumSquares = 0;
  }

  /** Counts one record. @param loss in [0, 1] */
  count(bucket: number, loss: number): void {
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sums[bucket] = (this.sums[bucket] ?? 0) + loss;
    this.n++;
    this.sum += loss;
    this.sumSquares += loss * loss;
  }

  add(other: ArmCounts): void {
    for (let g = 0; g < SUBJECT_BUCKETS; g++) {
      this.counts[g] = (this.counts[g] ?? 0) + (other.counts[g] ?? 0);
      this.sums[g] = (this.sums[g] ?? 0) + (other.sums[g] ?? 0);
    }
    this.n += other.n;
    this.sum += other.sum;
    this.sumSquares += other.sumSquares;
  }

  /** Design effect of the arm, with the variance of one loss. */
  spread(isBinary: boolean): { readonly deff: number; readonly v: number; readonly n: number } {
    const { n, sum, sumSquares } = this;
    const mean = (sum + 0.5) / (n + 1);
    const v = isBinary ? mean * (1 - mean) : n === 0 ? 0 : Math.max(sumSquares / n - (sum / n) * (sum / n), 0);
    return { deff: armDesignEffect(this.counts, this.sums, isBinary ? null : v), v: Math.max(v, TINY), n };
  }
}

/** Both arms since one process began. */
export class PairCounts {
  readonly candidate = new ArmCounts();
  readonly baseline = new ArmCounts();

  reset(): void {
    this.candidate.reset();
    this.baseline.reset();
  }

  add(candidate: ArmCounts, baseline: ArmCounts): void {
    this.candidate.add(candidate);
    this.baseline.add(baseline);
  }

  /** Design effect of a comparison of both arms, or (`one`) of the candidate alone; at least 1. */
  deff(arms: "one" | "two", use: "freeze" | "advance", isBinary: boolean): number {
    const mine = this.candidate.spread(isBinary);
    if (arms === "two") return designEffect(mine, this.baseline.spread(isBinary), use);
    return use === "advance" ? widened(mine.deff) : mine.deff;
  }
}
