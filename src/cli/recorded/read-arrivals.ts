import { KnownError } from "../../errors/known-error.ts";
import { badLine, linesOf, objectOf } from "./lines.ts";

/**
 * The gaps between arrivals of a file of rows with `t_ms`, ms: one per row, the last one (back to the first row) being their mean.
 *
 * @throws {KnownError} REQUEST_INVALID with file, line and field
 */
export async function readGaps(file: string): Promise<number[]> {
  const fix = "give t_ms, ms from any fixed moment, in the order of time";
  const times: number[] = [];
  for await (const line of linesOf(file)) {
    const value = objectOf(line).t_ms;
    if (typeof value !== "number" || !Number.isFinite(value)) throw badLine(line, "t_ms", value === undefined ? "is missing" : "is not a finite number", fix);
    const before = times.at(-1);
    if (before !== undefined && value < before) throw badLine(line, "t_ms", `is ${value}, before that of the line above (${before})`, fix);
    times.push(value);
  }
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  if (times.length < 2 || last <= first) {
    throw new KnownError("REQUEST_INVALID", `${file}: holds no two arrivals at different times`, { fix, details: { file } });
  }
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
  return [...gaps, (last - first) / (times.length - 1)];
}
