import type { Entry } from "../../../topics/index.ts";
import type { Centroids } from "../signals/digest.ts";
import { type Series, seriesOf } from "../signals/series.ts";

/** The statistics of one series and pane while they are being merged. */
export interface Tally {
  readonly series: Series;
  records: number;
  sampled: number;
  scored: number;
  abstained: number;
  failed: number;
  readonly counts: Map<number, number>;
  subjectCounts: number[];
  subjectSums: number[];
  /** Sum of those that are known; null: none is. */
  newSubjects: number | null;
}

/** The integer statistics of a block, as `topics/parts.ts` describes them. */
export type BlockStatistics = Omit<Entry, keyof Omit<Series, "kind"> | "paneStartMs" | "paneMs" | "digestMeans" | "digestCounts">;

export function emptyTally(series: Series): Tally {
  const noSubjects = { subjectCounts: [], subjectSums: [], newSubjects: null };
  return { series: seriesOf(series), records: 0, sampled: 0, scored: 0, abstained: 0, failed: 0, counts: new Map(), ...noSubjects };
}

/** Adds by position; either side may be empty, which stands for zeros. */
function added(to: readonly number[], from: readonly number[]): number[] {
  if (from.length === 0) return [...to];
  return from.map((value, i) => value + (to[i] ?? 0));
}

export function addEntry(to: Tally, entry: Entry): void {
  to.records += entry.records;
  to.sampled += entry.sampled;
  to.scored += entry.scored;
  to.abstained += entry.abstained;
  to.failed += entry.failed;
  for (const [i, value] of entry.values.entries()) to.counts.set(value, (to.counts.get(value) ?? 0) + (entry.counts[i] ?? 0));
  to.subjectCounts = added(to.subjectCounts, entry.subjectCounts);
  to.subjectSums = added(to.subjectSums, entry.subjectSums);
  // Partitions share no subject: what one does not know says nothing about the others.
  if (entry.newSubjects !== null) to.newSubjects = (to.newSubjects ?? 0) + entry.newSubjects;
}

/** The centroids of an entry; null when it has none. */
export function digestOf({ digestMeans, digestCounts }: Entry): Centroids | null {
  return digestMeans.length === 0 ? null : { means: digestMeans, counts: digestCounts };
}

export function statisticsOf(tally: Tally): BlockStatistics {
  const { series, records, sampled, scored, abstained, failed, subjectCounts, subjectSums, newSubjects } = tally;
  const values = [...tally.counts.keys()].sort((a, b) => a - b);
  const counts = values.map((value) => tally.counts.get(value) ?? 0);
  return { kind: series.kind, records, sampled, scored, abstained, failed, values, counts, subjectCounts, subjectSums, newSubjects };
}

/** Whatever came back from the evaluators. */
export const answeredOf = ({ scored, abstained, failed }: Pick<Tally, "scored" | "abstained" | "failed">): number => scored + abstained + failed;

/** Share of what was drawn that came back; 1 when nothing was drawn. */
export const coverageOf = (tally: Pick<Tally, "sampled" | "scored" | "abstained" | "failed">): number =>
  tally.sampled === 0 ? 1 : answeredOf(tally) / tally.sampled;
