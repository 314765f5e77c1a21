import type { Brake, RoutingTable } from "../../../topics/index.ts";

type Attempt = Pick<RoutingTable, "route" | "rollout" | "attempt">;
const keyOf = ({ route, rollout, attempt }: Attempt): string => JSON.stringify([route, rollout, attempt]);

/**
 * Every brake that was ever received. It only fills: an attempt that was braked stays braked, also one that was stopped by the
 * brake on all routes (`*`) after that one is cleared, because clearing raises nothing.
 */
export interface BrakeBook {
  readonly attempts: ReadonlySet<string>;
  /** Whether the brake on all routes is set. */
  readonly all: boolean;
  /** When the brake on all routes was last cleared, epoch ms; tables from before that time were under it. -1: never. */
  readonly clearedAtMs: number;
}

export const emptyBrakeBook: BrakeBook = { attempts: new Set(), all: false, clearedAtMs: -1 };

/**
 * Takes a brake into the book.
 *
 * @param running the attempts that run now: `*` stops each of them for good
 */
export function withBrake(book: BrakeBook, brake: Brake, running: Iterable<Attempt>): BrakeBook {
  if (brake.route !== "*") return { ...book, attempts: new Set([...book.attempts, keyOf(brake)]) };
  if (brake.cleared) return { ...book, all: false, clearedAtMs: Math.max(book.clearedAtMs, brake.atMs) };
  return { ...book, all: true, attempts: new Set([...book.attempts, ...[...running].map(keyOf)]) };
}

/** Takes note of a table that arrives: under a brake on all routes its attempt is stopped for good. */
export function withTable(book: BrakeBook, table: Attempt): BrakeBook {
  return book.all ? { ...book, attempts: new Set([...book.attempts, keyOf(table)]) } : book;
}

/** Whether the attempt of a table is braked. A table without a rollout has nothing to stop but by `*`. */
export function isBraked(book: BrakeBook, table: Attempt & Pick<RoutingTable, "atMs">): boolean {
  if (book.all) return true;
  return table.rollout !== "" && (table.atMs <= book.clearedAtMs || (book.attempts.size > 0 && book.attempts.has(keyOf(table))));
}

/** Whether an attempt was itself braked, so that nothing lifts that. */
export const hasAttempt = (book: BrakeBook, attempt: Attempt): boolean => book.attempts.has(keyOf(attempt));
