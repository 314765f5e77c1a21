import type { Expected, Explanation } from "../../domain/replay/explanation.ts";
import { showDuration } from "../../domain/rollout/spec/duration.ts";
import { plain } from "../terminal.ts";
import { trim } from "./words.ts";

const bases: Readonly<Record<Expected["basis"], string>> = {
  clock: "by the clock",
  present_rate: "at the present rate",
  plan: "as planned for a candidate without harm, at the present volume",
};

/** `in about 14 min, at the present rate`. */
export function showExpected(expected: Expected | null): string {
  if (expected === null) return "";
  if (expected.inMs === null) return `not to be expected ${bases[expected.basis]}`;
  const about = expected.basis === "clock" ? "in" : "in about";
  return `${about} ${showDuration(rounded(expected.inMs))}${expected.basis === "clock" ? "" : `, ${bases[expected.basis]}`}`;
}

/** An estimate has no seconds. */
function rounded(ms: number): number {
  return ms < 60_000 ? ms : Math.ceil(ms / 60_000) * 60_000;
}

/** What comes next, and when: `canary at 25 %, in about 14 min, at the present rate`. */
export function nextLine({ next }: Pick<Explanation, "next">): string {
  if (next === null) return "nothing: the attempt is over";
  const to = next.sharePct === null ? next.phase : `${next.phase} at ${trim(next.sharePct)} %`;
  if (next.waitsFor.length === 0) return `${to}, with the next look`;
  return next.expected === null ? `${to}, not to be foretold` : `${to}, ${showExpected(next.expected)}`;
}

/** The next event and what it waits for, in one line: `canary at 25 %, in 12 min; holds ≥ 12 min more, 412/600 requests of the candidate`. */
export function nextEvent(explanation: Pick<Explanation, "next">): string {
  const waits = (explanation.next?.waitsFor ?? []).map(({ what, detail, expected }) =>
    what === "dwell" ? `holds ≥ ${showDuration(expected?.inMs ?? 0)} more` : what === "requests" ? detail : `${plain(what)} ${plain(detail)}`,
  );
  return [nextLine(explanation), ...(waits.length === 0 ? [] : [waits.join(", ")])].join("; ");
}
