import { TDigest } from "tdigest";

/** Up to so many values are kept as they are. */
export const RAW_VALUES = 64;

/** Centroids as they travel: means with how many values each stands for. */
export interface Centroids {
  readonly means: number[];
  readonly counts: number[];
}

/**
 * The distribution of a signal for showing percentiles: raw values up to 64, a t-digest above. It has no error bound and depends on the
 * order of merging (and `tdigest` shuffles when it compresses): show it, never test on it.
 *
 * @see Dunning & Ertl, Computing extremely accurate quantiles using t-digests, arXiv:1902.04023
 */
export class Digest {
  #raw: Centroids = { means: [], counts: [] };
  #tree: TDigest | null = null;

  push(mean: number, count = 1): void {
    if (this.#tree !== null) {
      this.#tree.push_centroid({ mean, n: count });
      return;
    }
    this.#raw.means.push(mean);
    this.#raw.counts.push(count);
    if (this.#raw.means.length <= RAW_VALUES) return;
    this.#tree = new TDigest();
    for (const [i, value] of this.#raw.means.entries()) this.#tree.push_centroid({ mean: value, n: this.#raw.counts[i] ?? 0 });
    this.#raw = { means: [], counts: [] };
  }

  pushAll({ means, counts }: Centroids): void {
    for (const [i, mean] of means.entries()) this.push(mean, counts[i] ?? 0);
  }

  get isEmpty(): boolean {
    return this.#tree === null && this.#raw.means.length === 0;
  }

  centroids(): Centroids {
    if (this.#tree === null) return { means: [...this.#raw.means], counts: [...this.#raw.counts] };
    const all = this.#tree.toArray();
    return { means: all.map(({ mean }) => mean), counts: all.map(({ n }) => n) };
  }
}

/** Values at the given shares (0..1); null for each when there are none. Raw values are interpolated like centroids. */
export function percentilesOf(parts: Iterable<Centroids>, shares: readonly number[]): (number | null)[] {
  const merged = new TDigest();
  for (const { means, counts } of parts) for (const [i, mean] of means.entries()) merged.push_centroid({ mean, n: counts[i] ?? 0 });
  if (merged.size() === 0) return shares.map(() => null);
  return shares.map((share) => merged.percentile(share) ?? null);
}
