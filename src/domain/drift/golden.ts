import { FREEZE_WEIGHTS } from "../stats/bet.ts";
import type { Detector } from "../stats/drift.ts";
import { detectorLogM, referenceBound } from "../stats/drift.ts";
import { binaryHistogram } from "../stats/histogram.ts";
import { ln } from "../stats/ln.ts";
import { nano } from "../stats/nano-nats.ts";
import { addLosses, type DetectorState, nowOf, quiet } from "./detector.ts";
import { REFERENCE_ALPHA } from "./profile.ts";

/**
 * Pinned golden prompts: the same prompts again and again, checked without a judge. When they fail too, the version has changed; when
 * they pass while the users' signals are off, the traffic has.
 *
 * The runs while the reference is taken bound their failure rate; each later run is a block of an e-detector against that bound. Exact
 * for a fixed set of prompts of different difficulty: the product of (1 + c (p_i - t)) over its prompts is at most that of their mean, and sums of
 * unlike failures are less spread than the binomial that the bound assumes (Hoeffding 1956).
 */
export interface Golden {
  readonly version: string;
  /** Runs of the reference. */
  readonly runs: number;
  readonly n: number;
  readonly failed: number;
  /** Bound on the failure rate; null: the reference is being taken. */
  readonly bound: number | null;
  /** The version's detector; its blocks are the runs. */
  readonly detector: DetectorState;
  /** The newest run, epoch ms. */
  readonly lastAtMs: number;
  readonly lastPassed: number;
  readonly lastFailed: number;
}

/** Share of golden prompts that may fail more than at the reference, and from which on it is what a reroute is for. */
const TOLERATED = 0.05;
const SPAN = 0.2;
/** Mean number of runs between false alarms, at least. */
export const GOLDEN_RUNS = 1_000;
const GOLDEN_BOUND = nano(ln(GOLDEN_RUNS));
/** Runs of the reference at most: the newest behaviour of a long reference is not its first one's. */
const MOST_REFERENCE_RUNS = 1_000;

/** A slice that marks the calls of probes: nobody counts them (docs/drift.md). */
export const GOLDEN_SLICE = "headgate:golden";
/** Actor whose `probed` commands are believed; the rest is the matter of who may write `commands`. */
export const PROBER = "headgate-prober";

export interface GoldenRun {
  readonly version: string;
  readonly passed: number;
  readonly failed: number;
  readonly atMs: number;
}

export function newGolden(version: string): Golden {
  return { version, runs: 0, n: 0, failed: 0, bound: null, detector: quiet, lastAtMs: 0, lastPassed: 0, lastFailed: 0 };
}

/** Takes a run of the watched version. */
export function addRun(golden: Golden, { passed, failed, atMs }: GoldenRun): Golden {
  const n = passed + failed;
  const seen = { ...golden, lastAtMs: atMs, lastPassed: passed, lastFailed: failed };
  if (golden.bound === null) {
    return golden.runs >= MOST_REFERENCE_RUNS ? seen : { ...seen, runs: golden.runs + 1, n: golden.n + n, failed: golden.failed + failed };
  }
  const block = golden.detector.block + 1;
  const about = { block, bound: golden.bound, span: SPAN, deff: 1, variance: null };
  return { ...seen, detector: addLosses(golden.detector, binaryHistogram(n, failed), about) };
}

/** Fixes the reference, when at least one run is there. */
export function takeGolden(golden: Golden): Golden {
  if (golden.n === 0 || golden.bound !== null) return golden;
  return { ...golden, bound: Math.min(1, referenceBound(golden.failed, golden.n, TOLERATED, REFERENCE_ALPHA, 1)) };
}

export function goldenLogM(golden: Golden): Detector {
  return detectorLogM(nowOf(golden.detector, 1), FREEZE_WEIGHTS);
}

/** `failing`: proven worse than at the reference; `unknown`: no reference, or no run since it. */
export function goldenVerdict(golden: Golden | null, version: string): "failing" | "passing" | "unknown" {
  if (golden === null || golden.version !== version || golden.bound === null || golden.detector.block < 0) return "unknown";
  const logM = goldenLogM(golden);
  return logM !== null && logM >= GOLDEN_BOUND ? "failing" : "passing";
}
