import type { RoutingTable } from "../../../topics/index.ts";
import type { Block } from "../rollout/input.ts";
import { BUCKETS } from "../routing/buckets.ts";
import { SUBJECT_BUCKETS } from "../stats/design-effect.ts";
import { type ArmRows, type Column, summedValue } from "./arm-rows.ts";
import type { Dice } from "./dice.ts";

/** Where the calls of an arm come from, in the order in which they are drawn. */
export interface Source {
  readonly rows: ArmRows;
  /** The next row; -1: none is left (recorded order only). */
  readonly next: () => number;
}

/** What is drawn of mirrored calls: rows of both versions that answered the same prompt. */
export interface Pairs {
  readonly baseline: ArmRows;
  readonly candidate: ArmRows;
  readonly rows: readonly (readonly [baselineRow: number, candidateRow: number])[];
}

/** A pane as the traffic leaves it behind. */
export interface DrawnPane {
  readonly blocks: readonly Block[];
  /** Calls that the candidate answered and users saw. */
  readonly exposed: number;
  /** No row was left for a call. */
  readonly isExhausted: boolean;
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

function tallies(rows: ArmRows, judged: ReadonlySet<string>): Tally[] {
  return rows.columns.map((column) => ({
    column,
    counts: new Int32Array(column.values.length),
    isJudged: judged.has(column.signal),
    records: 0,
    sampled: 0,
    subjectCounts: rows.subjects === null ? [] : zeros(),
    subjectSums: rows.subjects === null ? [] : zeros(),
  }));
}

function count(tally: Tally, row: number, isDrawn: boolean, subject: number, cap: number | null): void {
  const place = tally.column.place[row] ?? -1;
  // Every call is in scope of a judge; one that nobody labelled cannot be drawn, as the recording says nothing of it.
  if (place < 0) return;
  tally.records++;
  if (tally.isJudged && !isDrawn) return;
  tally.sampled++;
  tally.counts[place] = (tally.counts[place] ?? 0) + 1;
  if (subject < 0 || (tally.column.kind === "log" && cap === null)) return;
  tally.subjectCounts[subject] = (tally.subjectCounts[subject] ?? 0) + 1;
  tally.subjectSums[subject] = (tally.subjectSums[subject] ?? 0) + summedValue(tally.column.kind, tally.column.values[place] ?? 0, cap);
}

/** Draws the calls of an arm in a pane and counts them, as the sampler and the judges do. */
export function drawServed(source: Source, arm: Arm, calls: number, context: DrawContext): DrawnPane {
  const { rows } = source;
  const { table, dice, judged } = context;
  const samplePpm = table.samplePpm[arm];
  const slices = ["all", ...table.slices.filter((name) => rows.slices.has(name))];
  const all = slices.map((name) => ({ name, members: rows.slices.get(name) ?? null, tallies: tallies(rows, judged) }));
  const caps = new Map(rows.columns.map(({ signal }) => [signal, context.capOf(signal)]));
  let drawn = 0;
  for (; drawn < calls; drawn++) {
    const row = source.next();
    if (row < 0) break;
    const isDrawn = samplePpm >= ALL_PPM || dice.next() * ALL_PPM < samplePpm;
    const subject = rows.subjects?.[row] ?? -1;
    for (const { members, tallies: mine } of all) {
      if (members !== null && members[row] !== 1) continue;
      for (const tally of mine) count(tally, row, isDrawn, subject, caps.get(tally.column.signal) ?? null);
    }
  }
  const side = { arm, version: rows.version, exposure: "served" as const, newSubjects: null };
  const blocks = all.flatMap(({ name, tallies: mine }) =>
    mine.filter(({ records }) => records > 0).map((tally) => ({ ...blockOf(tally, table, samplePpm), ...side, slice: name })),
  );
  // Without names every call is a subject of its own, and so at first sight.
  const newSubjects = rows.subjects === null ? drawn : null;
  if (drawn > 0) blocks.push({ ...everyCall(table, drawn), ...side, slice: "all", newSubjects } as Block & typeof side);
  return { blocks, exposed: arm === "candidate" ? drawn : 0, isExhausted: drawn < calls };
}

/** That there was a call at all, whatever its row says: what silence and the size of a step are counted by. */
function everyCall(table: RoutingTable, n: number) {
  const tally = { column: { signal: EVERY_CALL, kind: "binary" as const, values: [0], place: new Int32Array() }, counts: Int32Array.of(n), isJudged: false };
  return blockOf({ ...tally, records: n, sampled: n, subjectCounts: [], subjectSums: [] }, table, ALL_PPM);
}

/** A signal that no spec names: every call has it. */
const EVERY_CALL = "calls";

function blockOf(tally: Tally, table: RoutingTable, samplePpm: number): Omit<Block, "arm" | "version" | "exposure" | "slice" | "newSubjects"> {
  const { column, counts, isJudged, records, sampled, subjectCounts, subjectSums } = tally;
  const seen = column.values.flatMap((value, i) => ((counts[i] ?? 0) > 0 ? [[value, counts[i] ?? 0] as const] : []));
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
    values: seen.map(([value]) => value),
    counts: seen.map(([, n]) => n),
    subjectCounts,
    subjectSums,
  };
}

/** Evaluator version of recorded labels. */
export const RECORDED = "recorded";

/** Draws mirrored calls: the candidate's own side, and its difference to the served answer of the same prompt. */
export function drawMirrored(pairs: Pairs, calls: number, { table, dice, judged }: DrawContext): Block[] {
  if (pairs.rows.length === 0 || calls === 0) return [];
  const drawn = Array.from({ length: calls }, () => pairs.rows[dice.below(pairs.rows.length)] ?? ([0, 0] as const));
  const isDrawn = drawn.map(() => table.samplePpm.shadow >= ALL_PPM || dice.next() * ALL_PPM < table.samplePpm.shadow);
  const side = { arm: "candidate", version: pairs.candidate.version, exposure: "shadow", slice: "all", newSubjects: null } as const;
  const own = pairs.candidate.columns.flatMap((column) => {
    const twin = pairs.baseline.columns.find(({ signal }) => signal === column.signal);
    const isJudged = judged.has(column.signal);
    const [tally] = tallies({ ...pairs.candidate, columns: [column], subjects: null }, judged);
    if (tally === undefined) return [];
    const differences = new Map<number, number>();
    const scale = column.kind === "binary" ? 100 : 1;
    drawn.forEach(([baselineRow, candidateRow], i) => {
      count(tally, candidateRow, isDrawn[i] === true, -1, null);
      const [mine, theirs] = [column.place[candidateRow] ?? -1, twin?.place[baselineRow] ?? -1];
      if (mine < 0 || theirs < 0 || column.kind === "log" || (isJudged && isDrawn[i] !== true)) return;
      const difference = scale * ((column.values[mine] ?? 0) - (twin?.values[theirs] ?? 0));
      differences.set(difference, (differences.get(difference) ?? 0) + 1);
    });
    const block = { ...blockOf(tally, table, table.samplePpm.shadow), ...side };
    const sorted = [...differences].sort(([a], [b]) => a - b);
    const scored = sorted.reduce((sum, [, n]) => sum + n, 0);
    const paired = { ...block, kind: "paired" as const, sampled: scored, scored, values: sorted.map(([value]) => value), counts: sorted.map(([, n]) => n) };
    // Judged pairs are one piece of work: only their difference is known.
    return [...(isJudged || tally.records === 0 ? [] : [block]), ...(scored === 0 ? [] : [paired])];
  });
  return [...own, { ...everyCall(table, calls), ...side }];
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
