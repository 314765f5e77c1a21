import type { RoutingTable } from "../../../topics/index.ts";
import type { Block } from "../rollout/input.ts";
import { BUCKETS } from "../routing/buckets.ts";
import { HUNDREDTHS } from "../signals/contribution.ts";
import { SUBJECT_BUCKETS } from "../stats/design-effect.ts";
import { type ArmRows, type Column, type PairedRow, summedValue } from "./arm-rows.ts";
import type { Dice } from "./dice.ts";

/** Where the calls of an arm come from, in the order in which they are drawn. */
export interface Source {
  readonly rows: ArmRows;
  readonly next: () => number;
}

/** What is drawn of mirrored calls: rows of both versions that answered the same prompt. */
export interface Pairs {
  readonly baseline: ArmRows;
  readonly candidate: ArmRows;
  readonly rows: readonly PairedRow[];
  /** Place of the next pair in `rows`. */
  readonly next: () => number;
}

/** A pane as the traffic leaves it behind. */
export interface DrawnPane {
  readonly blocks: readonly Block[];
  /** Calls that the candidate answered and users saw. */
  readonly exposed: number;
}

export interface DrawContext {
  readonly table: RoutingTable;
  readonly dice: Dice;
  /** Signals that a judge scores, of a sample. */
  readonly judged: ReadonlySet<string>;
  readonly capOf: (signal: string) => number | null;
}

type Arm = "baseline" | "candidate" | "holdback";
const ALL_PPM = 1_000_000;

/** The calls of one arm in a pane, by position. */
interface Drawn {
  readonly rows: Int32Array;
  /** Whether a judge scores the call. */
  readonly isSampled: Uint8Array;
  /** Bucket of each call's subject. */
  readonly subjects: Int32Array;
}

/** What an arm's calls of one pane add up to in one signal and slice. */
interface Tally {
  readonly column: Column;
  readonly counts: Int32Array;
  readonly isJudged: boolean;
  records: number;
  sampled: number;
  readonly subjectCounts: number[];
  readonly subjectSums: number[];
}

const zeros = () => new Array<number>(SUBJECT_BUCKETS).fill(0);

function drawnCalls(calls: number, { rows, next }: Source, samplePpm: number, dice: Dice): Drawn {
  const drawn = { rows: new Int32Array(calls), isSampled: new Uint8Array(calls), subjects: new Int32Array(calls) };
  for (let i = 0; i < calls; i++) {
    const row = next();
    drawn.rows[i] = row;
    drawn.isSampled[i] = samplePpm >= ALL_PPM || dice.next() * ALL_PPM < samplePpm ? 1 : 0;
    // Without names each call is a subject of its own, in any bucket.
    drawn.subjects[i] = rows.subjects === null ? dice.below(SUBJECT_BUCKETS) : (rows.subjects[row] ?? 0);
  }
  return drawn;
}

/** The calls whose rows belong to a slice. */
function within({ rows, isSampled, subjects }: Drawn, members: Uint8Array): Drawn {
  const isMember = (_: number, i: number) => members[rows[i] ?? -1] === 1;
  return { rows: rows.filter(isMember), isSampled: isSampled.filter(isMember), subjects: subjects.filter(isMember) };
}

/** Counts the calls in one signal, as the sampler and the judges do. */
function tallied(column: Column, { rows, isSampled, subjects }: Drawn, { isJudged, cap }: { readonly isJudged: boolean; readonly cap: number | null }): Tally {
  const { place: places, values, kind } = column;
  const counts = new Int32Array(values.length);
  const isSummed = kind !== "log" || cap !== null;
  const summed = isSummed ? values.map((value) => summedValue(kind, value, cap)) : [];
  const [subjectCounts, subjectSums] = [zeros(), zeros()];
  let records = 0;
  let sampled = 0;
  for (let i = 0; i < rows.length; i++) {
    const place = places[rows[i] ?? -1] ?? -1;
    // What nobody labelled could not be drawn for a judge: the recording says nothing of it.
    if (place < 0) continue;
    records++;
    if (isJudged && isSampled[i] === 0) continue;
    sampled++;
    counts[place] = (counts[place] ?? 0) + 1;
    const subject = subjects[i] ?? 0;
    subjectCounts[subject] = (subjectCounts[subject] ?? 0) + 1;
    subjectSums[subject] = (subjectSums[subject] ?? 0) + (summed[place] ?? 0);
  }
  // A bucket is counted only with a sum in it, as the fold does it.
  const isCounted = isSummed && sampled > 0;
  return { column, counts, isJudged, records, sampled, subjectCounts: isCounted ? subjectCounts : [], subjectSums: isCounted ? subjectSums : [] };
}

/** Draws the calls of an arm in a pane and counts them. */
export function drawServed(source: Source, arm: Arm, calls: number, context: DrawContext): DrawnPane {
  if (calls === 0) return { blocks: [], exposed: 0 };
  const { rows } = source;
  const { table, dice, judged, capOf } = context;
  const samplePpm = table.samplePpm[arm];
  const drawn = drawnCalls(calls, source, samplePpm, dice);
  const side = { arm, version: rows.version, exposure: "served" as const, newSubjects: null };
  const blocks: Block[] = [];
  for (const slice of ["all", ...table.slices]) {
    const members = slice === "all" ? null : rows.slices.get(slice);
    if (members === undefined) continue;
    const mine = members === null ? drawn : within(drawn, members);
    for (const column of rows.columns) {
      const tally = tallied(column, mine, { isJudged: judged.has(column.signal), cap: capOf(column.signal) });
      if (tally.records > 0) blocks.push({ ...blockOf(tally, table, samplePpm), ...side, slice });
    }
  }
  // Without names every call is a subject of its own, and so at first sight.
  blocks.push({ ...everyCall(table, calls), ...side, slice: "all", newSubjects: rows.subjects === null ? calls : null });
  return { blocks, exposed: arm === "candidate" ? calls : 0 };
}

/** That there was a call at all, whatever its row says: what silence and the size of a step are counted by. */
function everyCall(table: RoutingTable, n: number): ReturnType<typeof blockOf> {
  const column: Column = { signal: EVERY_CALL, kind: "binary", values: [0], place: new Int32Array() };
  return blockOf({ column, counts: Int32Array.of(n), isJudged: false, records: n, sampled: n, subjectCounts: [], subjectSums: [] }, table, ALL_PPM);
}

/** A signal that no spec names: every call has it. */
const EVERY_CALL = "calls";

function blockOf(tally: Tally, table: RoutingTable, samplePpm: number): Omit<Block, "arm" | "version" | "exposure" | "slice" | "newSubjects"> {
  const { column, counts, isJudged, records, sampled, subjectCounts, subjectSums } = tally;
  const values: number[] = [];
  const seen: number[] = [];
  for (let i = 0; i < counts.length; i++) {
    const n = counts[i] ?? 0;
    if (n === 0) continue;
    values.push(column.values[i] ?? 0);
    seen.push(n);
  }
  return {
    rollout: table.rollout,
    attempt: table.attempt,
    step: table.step,
    epoch: table.epoch,
    signal: column.signal,
    kind: column.kind,
    evaluatorVersion: isJudged ? RECORDED : "",
    samplePpm: isJudged ? samplePpm : ALL_PPM,
    records,
    sampled,
    scored: sampled,
    abstained: 0,
    failed: 0,
    values,
    counts: seen,
    subjectCounts,
    subjectSums,
  };
}

/** Evaluator version of recorded labels. */
export const RECORDED = "recorded";

const noPair: PairedRow = { candidateRow: -1, twins: [-1] };

/** Draws mirrored calls: the candidate's own side, and its difference to the served answer of the same prompt. */
export function drawMirrored(pairs: Pairs, calls: number, { table, dice, judged }: DrawContext): Block[] {
  if (pairs.rows.length === 0 || calls === 0) return [];
  const { candidate, baseline } = pairs;
  const served = new Int32Array(calls);
  let drawn = 0;
  const next = () => {
    const { candidateRow, twins } = pairs.rows[pairs.next()] ?? noPair;
    served[drawn++] = twins[twins.length === 1 ? 0 : dice.below(twins.length)] ?? -1;
    return candidateRow;
  };
  const mirrored = drawnCalls(calls, { rows: candidate, next }, table.samplePpm.shadow, dice);
  const side = { arm: "candidate", version: candidate.version, exposure: "shadow", slice: "all", newSubjects: null } as const;
  const blocks: Block[] = [];
  for (const column of candidate.columns) {
    const isJudged = judged.has(column.signal);
    const own = tallied(column, mirrored, { isJudged, cap: null });
    // Judged pairs are one piece of work: only their difference is known.
    if (!isJudged && own.records > 0) blocks.push({ ...blockOf(own, table, table.samplePpm.shadow), ...side });
    const twin = baseline.columns.find(({ signal }) => signal === column.signal);
    if (twin === undefined || column.kind === "log") continue;
    const paired = tallied(differencesOf({ column, twin, mirrored, served }), { ...mirrored, rows: mirrored.rows.map((_, i) => i) }, { isJudged, cap: null });
    if (paired.records > 0) blocks.push({ ...blockOf(paired, table, table.samplePpm.shadow), ...side, kind: "paired" });
  }
  blocks.push({ ...everyCall(table, calls), ...side });
  return blocks;
}

/** Differences of losses: every whole hundredth. */
const differences = Array.from({ length: 2 * HUNDREDTHS + 1 }, (_, i) => i - HUNDREDTHS);

/** Differences of losses in hundredths between the mirrored and the served answer, one row per drawn pair. */
function differencesOf(about: { readonly column: Column; readonly twin: Column; readonly mirrored: Drawn; readonly served: Int32Array }): Column {
  const { column, twin, mirrored, served } = about;
  const scale = column.kind === "binary" ? HUNDREDTHS : 1;
  const place = new Int32Array(served.length);
  for (let i = 0; i < served.length; i++) {
    const mine = column.place[mirrored.rows[i] ?? -1] ?? -1;
    const theirs = twin.place[served[i] ?? -1] ?? -1;
    place[i] = mine < 0 || theirs < 0 ? -1 : scale * ((column.values[mine] ?? 0) - (twin.values[theirs] ?? 0)) + HUNDREDTHS;
  }
  return { signal: column.signal, kind: "grid", values: differences, place };
}

/** Share of calls that each arm serves under a table. */
export function sharesOf({ ranges }: RoutingTable): ReadonlyMap<Arm, number> {
  const shares = new Map<Arm, number>();
  for (const { arm, from, to } of ranges) {
    const known: Arm | null = arm === "candidate" || arm === "holdback" ? arm : arm === "baseline" ? "baseline" : null;
    if (known !== null) shares.set(known, (shares.get(known) ?? 0) + (to - from) / BUCKETS);
  }
  return shares;
}
