import { pause } from "../deps.ts";

/** A program, as far as it has to be stopped. */
export interface Stoppable {
  /** What has to be done before the process ends. Must not reject. */
  finish(): Promise<void>;
  /** What is polite afterwards: connections are closed. Must not reject. */
  sayGoodbye(): Promise<void>;
}

/** How far a stop came: to the end, to goodbyes that nobody answers (a broker that has just died), or not even through the work. */
export type StopEnd = "all" | "work" | "part";

/** Stops all of them at once. @param budgetMs after so long the process ends as it is, ms */
export async function stopInTime(parts: readonly Stoppable[], budgetMs: number): Promise<StopEnd> {
  let unfinished = parts.length;
  const stop = async (part: Stoppable) => {
    await part.finish();
    unfinished--;
    await part.sayGoodbye();
  };
  const isOver = new AbortController(); // or the timer would keep the process for the rest of its time
  const all = Promise.all(parts.map(stop)).then(() => true);
  const isAll = await Promise.race([all, pause(budgetMs, isOver.signal).then(() => false)]);
  isOver.abort();
  if (isAll) return "all";
  return unfinished === 0 ? "work" : "part";
}
