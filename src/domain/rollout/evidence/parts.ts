import { KnownError } from "../../../errors/known-error.ts";
import { binaryHistogram, type Histogram, mergeHistograms } from "../../stats/histogram.ts";
import type { Block } from "../input.ts";
import type { PlannedSignal } from "../spec/plan.ts";
import type { Measured } from "./values.ts";

/** The counts of one arm in a part, in the units of the kind (topics/parts.ts). */
export interface Side {
  readonly records: number;
  readonly sampled: number;
  /** Records of `values`, too. */
  readonly scored: number;
  readonly values: Histogram;
  /** Records per bucket of subjects, and the sum of their values; empty where nobody counted them. */
  readonly subjectCounts: readonly number[];
  readonly subjectSums: readonly number[];
  /** Its losses as they were worked out last (values.ts): they are asked for twice, as evidence and for what they teach about the baseline. */
  memo: Measured | null;
}

/** What a pane holds of one signal under one epoch and evaluator version: the smallest unit that arms are compared in. */
export interface Part {
  readonly epoch: number;
  readonly step: number;
  readonly evaluatorVersion: string;
  readonly candidate: Side | null;
  /** Baseline and holdback: the concurrent comparison. */
  readonly baseline: Side | null;
  /** The candidate's own side of mirrored calls, for floors. */
  readonly shadow: Side | null;
  /** Candidate minus twin, of mirrored calls. */
  readonly pairs: Side | null;
}

type Role = "candidate" | "baseline" | "shadow" | "pairs";

const kinds: Readonly<Record<PlannedSignal["kind"], Block["kind"]>> = { binary: "binary", percentile: "log", score: "grid", mean: "log" };

function roleOf(block: Block, signal: PlannedSignal): Role | null {
  if (block.exposure === "shadow") {
    if (block.arm !== "candidate") return null;
    return block.kind === "paired" ? "pairs" : "shadow";
  }
  if (block.kind !== kinds[signal.kind]) throw corrupt(block, `is of kind ${block.kind}, expected ${kinds[signal.kind]}`);
  if (block.arm === "candidate") return "candidate";
  return block.arm === "baseline" || block.arm === "holdback" ? "baseline" : null;
}

function corrupt(block: Block, what: string): KnownError {
  return new KnownError("EVALUATION_ERROR", `the block of ${block.signal}, arm ${block.arm}, epoch ${block.epoch} ${what}`, {
    fix: "the rollout is held; look for a writer of `aggregates` that is not headgate's, then roll back or retry",
  });
}

const lowest: Readonly<Record<string, number>> = { binary: 0, grid: 0, paired: -100 };
const highest: Readonly<Record<string, number>> = { binary: 1, grid: 100, paired: 100 };

function check(block: Block): void {
  const { values, counts, kind } = block;
  const [least, most] = [lowest[kind] ?? Number.NEGATIVE_INFINITY, highest[kind] ?? Number.POSITIVE_INFINITY];
  let n = 0;
  let before = Number.NEGATIVE_INFINITY;
  let wrong: number | null = null;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    n += counts[i] ?? Number.NaN;
    if (wrong === null && !(Number.isInteger(value) && value >= least && value <= most && value > before)) wrong = value;
    before = value;
  }
  if (values.length !== counts.length || n !== block.scored) throw corrupt(block, "does not add up: its counts are not its scored records");
  if (wrong !== null) throw corrupt(block, `holds the value ${wrong} out of its order or range`);
}

const addArrays = (one: readonly number[], other: readonly number[]): readonly number[] =>
  one.length === 0 ? other : other.length === 0 ? one : one.map((x, i) => x + (other[i] ?? 0));

function add(side: Side | null, block: Block): Side {
  const { records, sampled, scored, subjectCounts, subjectSums } = block;
  const mine = { records, sampled, scored, values: { values: block.values, counts: block.counts }, subjectCounts, subjectSums, memo: null };
  if (side === null) return mine;
  return {
    subjectCounts: addArrays(side.subjectCounts, subjectCounts),
    subjectSums: addArrays(side.subjectSums, subjectSums),
    records: side.records + mine.records,
    sampled: side.sampled + mine.sampled,
    scored: side.scored + mine.scored,
    values: mergeHistograms(side.values, mine.values),
    memo: null,
  };
}

/** Blocks of a pane by signal, then by slice, so that each is looked at once. */
export type BlocksBySeries = ReadonlyMap<string, ReadonlyMap<string, readonly Block[]>>;

export function bySeries(blocks: readonly Block[]): BlocksBySeries {
  const found = new Map<string, Map<string, Block[]>>();
  for (const block of blocks) {
    let slices = found.get(block.signal);
    if (slices === undefined) {
      slices = new Map();
      found.set(block.signal, slices);
    }
    const mine = slices.get(block.slice);
    if (mine === undefined) slices.set(block.slice, [block]);
    else mine.push(block);
  }
  return found;
}

/**
 * Sorts the blocks of one signal and slice in a closed pane into parts that may be compared. An arm has one sampling rate per
 * epoch, so a part is of one sampling class. Blocks that no evaluator answered for (version empty) join the version that the pane,
 * or else the signal, has: they are its unscored records.
 *
 * @param known evaluator version that the signal had so far
 * @returns ascending by epoch, then evaluator version
 * @throws {KnownError} EVALUATION_ERROR for a block that contradicts itself
 */
export function partsOf(pane: BlocksBySeries, signal: PlannedSignal, known: string, slice = "all"): Part[] {
  const mine = pane.get(signal.name)?.get(slice);
  if (mine === undefined) return [];
  const fallback = mine.some(({ evaluatorVersion }) => evaluatorVersion === "") ? versionFor(mine, known) : known;
  const parts: { -readonly [K in keyof Part]: Part[K] }[] = [];
  for (const block of mine) {
    const role = roleOf(block, signal);
    if (role === null) continue;
    check(block);
    const { epoch, step } = block;
    const evaluatorVersion = block.evaluatorVersion === "" ? fallback : block.evaluatorVersion;
    // There is one part nearly always, and never more than a few.
    let part = parts.find((one) => one.epoch === epoch && one.evaluatorVersion === evaluatorVersion);
    if (part === undefined) {
      part = { epoch, step, evaluatorVersion, candidate: null, baseline: null, shadow: null, pairs: null };
      parts.push(part);
    }
    part[role] = add(part[role], block);
  }
  return parts.length === 1 ? parts : parts.sort((a, b) => a.epoch - b.epoch || (a.evaluatorVersion < b.evaluatorVersion ? -1 : 1));
}

/** Version that unscored records belong to: the signal's own where the pane has it. */
function versionFor(blocks: readonly Block[], known: string): string {
  const versions = blocks.map((block) => block.evaluatorVersion).filter((version) => version !== "");
  return versions.includes(known) ? known : (versions.sort()[0] ?? known);
}

function missing(side: Side | null): Side | null {
  if (side === null) return null;
  const { sampled } = side;
  // More verdicts than draws is a writer's error that the judged signal itself reports; here it is none missing.
  const bad = Math.max(0, sampled - side.scored);
  return { records: sampled, sampled, scored: sampled, values: binaryHistogram(sampled, bad), subjectCounts: [], subjectSums: [], memo: null };
}

/** What was drawn of a judged signal as records of `missing_scores`: loss 1 where no score came back in time (statistics.md section 1.8). */
export function missingParts(parts: readonly Part[]): Part[] {
  return parts.map((part) => ({
    ...part,
    evaluatorVersion: "",
    candidate: missing(part.candidate),
    baseline: missing(part.baseline),
    // Both sides of a pair are judged, or neither: nothing to compare.
    shadow: null,
    pairs: null,
  }));
}
