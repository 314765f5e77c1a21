import type { EvidenceEntry } from "../../../topics/index.ts";
import { KnownError } from "../../errors/known-error.ts";
import { INPUT_LAYOUT, type ReducerInput } from "../rollout/input.ts";

const kinds: ReadonlySet<string> = new Set<ReducerInput["kind"]>(["spec", "command", "brake", "pane", "tick"]);

/**
 * The reducer's input of an evidence record.
 *
 * @returns null when the text is no JSON object of a known kind: it was not written by a decider
 * @throws {KnownError} LAYOUT_UNKNOWN: a version with another layout of inputs wrote it
 */
export function readInput(entry: EvidenceEntry): ReducerInput | null {
  if (entry.layout !== INPUT_LAYOUT) {
    throw new KnownError(
      "LAYOUT_UNKNOWN",
      `evidence ${entry.seq} of route ${entry.route} has input layout ${entry.layout}, and this version knows ${INPUT_LAYOUT}`,
      {
        fix: "replay with the version of headgate that wrote it (codeVersion of its gate events), or a newer one",
      },
    );
  }
  try {
    const value = JSON.parse(entry.input) as ReducerInput | null;
    return value !== null && typeof value === "object" && kinds.has(value.kind) && typeof value.atMs === "number" ? value : null;
  } catch {
    return null;
  }
}

/** What was consumed, in a few words. */
export function showInput(entry: EvidenceEntry, input: ReducerInput | null): string {
  if (input === null) return `${entry.kind}, unreadable`;
  switch (input.kind) {
    case "pane":
      return `pane ${input.group} ${isoTime(input.paneStartMs)}${input.round > 0 ? `, round ${input.round}` : ""}`;
    case "command":
      return `command ${input.command?.verb} by ${input.command?.actor}`;
    case "spec":
      return `spec ${String(input.digest).slice(0, 12)} by ${input.actor}`;
    case "brake":
      return `brake of ${input.brake?.route} by ${input.brake?.actor}`;
    default:
      return "tick";
  }
}

/** Total, so that what somebody wrote by hand can be named all the same. */
export function isoTime(atMs: number): string {
  return Number.isFinite(atMs) && Math.abs(atMs) <= 8.64e15 ? new Date(atMs).toISOString() : String(atMs);
}
