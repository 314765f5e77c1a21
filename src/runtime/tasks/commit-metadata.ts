/**
 * The runtime's own part of the commit metadata of an input: which records at or above the committed offset are already
 * in the dead-letter topic. A task may commit less than it has read, so they will be read again, and must not be parked
 * twice. Written as `dlq1:<first>+<more>,...;` before the task's own metadata: runs of offsets, base 36, each first one
 * relative to the committed offset. Absent when there are none.
 */

/** The broker's default `offset.metadata.max.bytes`. */
const brokerMaxBytes = 4096;
/** What a task may use of it. */
export const taskMetadataMaxBytes = 4000;
const opening = "dlq1:";

/** @returns the text to commit, and how many of the oldest parked offsets found no room (they may be parked twice) */
export function writeMetadata(committed: number, parked: readonly number[], own: string): { text: string; forgotten: number } {
  const runs = runsOf([...new Set(parked)].filter((offset) => offset >= committed).sort((a, b) => a - b));
  let room = brokerMaxBytes - Buffer.byteLength(own) - opening.length - 1;
  const kept: string[] = [];
  // The newest first: what is oldest is the likeliest to be committed soon.
  for (let run = runs.pop(); run !== undefined; run = runs.pop()) {
    const text = runText(run[0] - committed, run[1]);
    room -= text.length + (kept.length === 0 ? 0 : 1);
    if (room < 0) {
      const forgotten = [...runs, run].reduce((sum, [, more]) => sum + more + 1, 0);
      return { text: join(kept, own), forgotten };
    }
    kept.push(text);
  }
  return { text: join(kept, own), forgotten: 0 };
}

function join(newestFirst: readonly string[], own: string): string {
  return newestFirst.length === 0 ? own : `${opening}${newestFirst.toReversed().join(",")};${own}`;
}

/** Takes apart what `writeMetadata` wrote; text without our part is all the task's own. */
export function readMetadata(committed: number, text: string): { parked: number[]; own: string } {
  const end = text.startsWith(opening) ? text.indexOf(";") : -1;
  if (end < 0) return { parked: [], own: text };
  const parked = text
    .slice(opening.length, end)
    .split(",")
    .flatMap((run) => {
      const [first = "0", more = "0"] = run.split("+");
      const start = committed + Number.parseInt(first, 36);
      return Array.from({ length: Number.parseInt(more, 36) + 1 }, (_, i) => start + i);
    });
  return { parked, own: text.slice(end + 1) };
}

function runText(first: number, more: number): string {
  return more === 0 ? first.toString(36) : `${first.toString(36)}+${more.toString(36)}`;
}

function runsOf(sorted: readonly number[]): [first: number, more: number][] {
  const runs: [number, number][] = [];
  for (const offset of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] + 1 === offset) last[1]++;
    else runs.push([offset, 0]);
  }
  return runs;
}
