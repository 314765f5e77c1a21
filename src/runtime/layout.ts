import { KnownError } from "../errors/known-error.ts";
import type { PartitionCounts } from "./topic-plan.ts";

/** Key of the layout record in `catalog`. */
export const layoutKey = "layout";

/** Number of what schemas cannot see: bucket hash, log buckets' γ, partitioning. A change of those gets a new number. */
export const layoutNumber = 1;

/** What a prefix was created with; frozen, since tasks, sequence numbers and watermarks rest on the counts. */
export interface Layout {
  readonly partitions: PartitionCounts;
  readonly layout: number;
}

export function formatLayout(partitions: PartitionCounts): string {
  return JSON.stringify({ partitions, layout: layoutNumber } satisfies Layout);
}

/**
 * @param text of the layout record
 * @throws {KnownError} LAYOUT_UNKNOWN when it was written by a version that lays out data in a way unknown here
 */
export function parseLayout(text: string): Layout {
  const parsed = parse(text);
  if (parsed?.layout !== layoutNumber || !isCounts(parsed.partitions)) {
    throw new KnownError(
      "LAYOUT_UNKNOWN",
      `this prefix has layout ${String(parsed?.layout ?? "(unreadable)")}; this version of headgate knows layout ${layoutNumber}`,
      {
        fix: "run the version of headgate that created the prefix, or use a new prefix",
      },
    );
  }
  return { partitions: parsed.partitions, layout: layoutNumber };
}

function parse(text: string): { readonly layout?: unknown; readonly partitions?: unknown } | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" ? parsed : null;
  } catch {
    return null;
  }
}

function isCounts(counts: unknown): counts is PartitionCounts {
  return typeof counts === "object" && counts !== null && Object.values(counts).every((count) => Number.isInteger(count) && count >= 1);
}
