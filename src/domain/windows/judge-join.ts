import { judgedKey } from "../signals/series.ts";
import { answeredOf, type Tally } from "./tally.ts";

/** Tallies that differ in nothing but the evaluator version, grouped; in the order of their keys, so that the same input gives the same output. */
function families(tallies: Iterable<Tally>): Tally[][] {
  const found = new Map<string, Tally[]>();
  for (const tally of tallies) {
    const key = judgedKey(tally.series);
    const family = found.get(key);
    if (family === undefined) found.set(key, [tally]);
    else family.push(tally);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, family]) => family);
}

/** Most scores first, then by version: which one stands for what the sampler drew. */
const byScores = (a: Tally, b: Tally): number => b.scored - a.scored || (a.series.evaluatorVersion < b.series.evaluatorVersion ? -1 : 1);

/** Of what was drawn, each version but the first accounts for what came back from it; the rest, unscored records too, belongs to the first. */
function share(drawn: Tally, versions: readonly Tally[]): Tally[] {
  let left = drawn.sampled;
  const others = versions.slice(1).map((version) => {
    const sampled = Math.min(answeredOf(version), left);
    left -= sampled;
    return { ...version, sampled: version.sampled + sampled };
  });
  return versions.slice(0, 1).flatMap((first) => [{ ...first, records: first.records + drawn.records, sampled: first.sampled + left }, ...others]);
}

/**
 * Joins what the sampler drew (counted without evaluator version) with what each evaluator version made of it, so that a block says both. What was
 * drawn is neither lost nor counted twice. When nothing came back, the drawn stand alone.
 */
export function joinJudged(tallies: Iterable<Tally>): Tally[] {
  return families(tallies).flatMap((family) => {
    const drawn = family.find(({ series }) => series.evaluatorVersion === "");
    const versions = family.filter(({ series }) => series.evaluatorVersion !== "").sort(byScores);
    if (drawn === undefined) return versions;
    return versions.length === 0 ? [drawn] : share(drawn, versions);
  });
}

/** Whether everything that was drawn in a pane has come back, scored or not. */
export function isAnswered(tallies: Iterable<Tally>): boolean {
  return families(tallies).every((family) => {
    const sampled = family.reduce((sum, tally) => sum + tally.sampled, 0);
    return family.reduce((sum, tally) => sum + answeredOf(tally), 0) >= sampled;
  });
}
