import type { RecordedCall } from "../../domain/backtest/recorded-call.ts";
import { KnownError } from "../../errors/known-error.ts";
import { callOf } from "./call-of.ts";
import type { FieldNames } from "./field-names.ts";
import { linesOf } from "./lines.ts";

/**
 * The calls of files of normalised recorded calls: JSONL, plain or gzip.
 *
 * @throws {KnownError} REQUEST_INVALID with file, line and field; also for a file without a call
 */
export async function readCalls(files: readonly string[], names: FieldNames): Promise<RecordedCall[]> {
  const calls: RecordedCall[] = [];
  for (const file of files) {
    const before = calls.length;
    for await (const line of linesOf(file)) calls.push(callOf(line, names));
    if (calls.length === before) {
      throw new KnownError("REQUEST_INVALID", `${file}: holds no call`, { fix: "give a file with one JSON object a line", details: { file } });
    }
  }
  return calls;
}

/**
 * The calls of one version.
 *
 * @param option the option that named it, for the message
 * @throws {KnownError} REQUEST_INVALID with the versions that there are
 */
export function callsOfVersion(calls: readonly RecordedCall[], version: string, option: string): RecordedCall[] {
  const own = calls.filter((call) => call.version === version);
  if (own.length > 0) return own;
  const counts = new Map<string, number>();
  for (const call of calls) counts.set(call.version, (counts.get(call.version) ?? 0) + 1);
  const found = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, n]) => `${name} (${n})`);
  throw new KnownError("REQUEST_INVALID", `${option} ${version}: no call is of this version`, { fix: `name one of ${found.join(", ")}` });
}
