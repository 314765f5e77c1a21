import type { Bounds } from "./admin.ts";

/** A partition, as far as a reader that keeps its own positions is concerned. */
export interface ReadingPlace {
  /** Next offset to read. */
  readonly position: number;
  /** End that has to be reached before the partition has been caught up with; absent: it has. */
  readonly wanted?: number | undefined;
}

/**
 * Where to read on in what a partition holds now. A position that is not in it any more (deleted, created anew) goes on at its beginning; and only what can still be read
 * is waited for.
 *
 * @param before absent: it has not been read
 */
export function readingPlace({ low, high }: Bounds, from: "beginning" | "end", before?: ReadingPlace): ReadingPlace {
  const start = before?.position ?? (from === "beginning" ? low : high);
  const position = start < low || start > high ? low : start;
  const wanted = Math.min(before === undefined ? high : (before.wanted ?? 0), high);
  return wanted > position ? { position, wanted } : { position };
}
