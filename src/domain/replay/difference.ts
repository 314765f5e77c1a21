import { canonicalJson } from "../rollout/canonical-json.ts";

/** Where what was recorded is not what the history gives. */
export interface Difference {
  /** Sequence number of the evidence record, and its offset (-1: in no log). */
  readonly seq: number;
  readonly offset: number;
  readonly atMs: number;
  /** What was consumed, for example `pane judge 2026-11-25T10:00:00.000Z` or `command rollback by ann`. */
  readonly input: string;
  /** Path of the first field that differs, for example `gateEvent.reasons[0]`. */
  readonly field: string;
  readonly recorded: unknown;
  readonly computed: unknown;
  readonly message: string;
}

/** The first place, in the order of the fields' names, in which two JSON values differ; null when they are equal. */
export function firstDifference(recorded: unknown, computed: unknown, path: string): Pick<Difference, "field" | "recorded" | "computed"> | null {
  if (Object.is(recorded, computed)) return null;
  if (isPlain(recorded) && isPlain(computed)) {
    for (const key of [...new Set([...Object.keys(recorded), ...Object.keys(computed)])].sort()) {
      const found = firstDifference(recorded[key], computed[key], `${path}.${key}`);
      if (found !== null) return found;
    }
    return null;
  }
  if (Array.isArray(recorded) && Array.isArray(computed)) {
    for (let i = 0; i < Math.max(recorded.length, computed.length); i++) {
      const found = firstDifference(recorded[i], computed[i], `${path}[${i}]`);
      if (found !== null) return found;
    }
    return null;
  }
  // JSON knows one zero.
  return canonicalJson(recorded) === canonicalJson(computed) ? null : { field: path, recorded: recorded ?? null, computed: computed ?? null };
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
