import type { SignalEvidence, Verdict } from "../../../topics/index.ts";
import type { RouteSummary } from "../../stages/6-control/route-view.ts";
import { plain } from "../terminal.ts";
import type { Cell, Tone } from "./columns.ts";

type Standing = Pick<RouteSummary, "phase" | "condition" | "braked">;

/** Phase and condition with their icon: `◌ canary`, `॥ canary, frozen`, `✖ rolled_back`. */
export function statusCell(at: Standing): Cell {
  const words = at.condition === "progressing" || isOver(at.phase) ? at.phase : `${at.phase}, ${at.condition}`;
  const text = at.braked ? `${words}, braked` : words;
  const [icon, tone] = statusIcon(at);
  return { text: `${icon} ${text}`, tone };
}

export function isOver(phase: string): boolean {
  return phase === "done" || phase === "rolled_back";
}

function statusIcon({ phase, condition, braked }: Standing): readonly [string, Tone | undefined] {
  if (phase === "done") return ["✔", "good"];
  if (phase === "rolled_back") return ["✖", "bad"];
  if (braked) return ["✖", "bad"];
  if (condition === "paused" || condition === "frozen") return ["॥", "warn"];
  if (phase === "none") return ["•", "dim"];
  return phase === "pending" ? ["◷", undefined] : ["◌", undefined];
}

const verdictMarks: Readonly<Record<Verdict, readonly [string, Tone | undefined]>> = {
  safe: ["✔", "good"],
  breach: ["✖", "bad"],
  inconclusive: ["◌", undefined],
  no_data: ["?", "warn"],
  baseline_below_floor: ["⚠", "warn"],
  other: ["?", "warn"],
};

export function verdictCell(verdict: Verdict): Cell {
  const [icon, tone] = verdictMarks[verdict];
  return { text: `${icon} ${verdict}`, tone };
}

/** A measured value in the unit that its signal's name implies. */
export function showValue(signal: string, value: number | null): string {
  if (value === null) return "-";
  if (/^(latency|ttft)_/.test(signal)) return value >= 1_000 ? `${(value / 1_000).toFixed(2)}s` : `${Math.round(value)}ms`;
  if (/^cost_/.test(signal)) return `$${value.toPrecision(3)}`;
  if (/tokens$|^calls_/.test(signal)) return value >= 100 ? String(Math.round(value)) : value.toFixed(1);
  return value.toFixed(3);
}

/** A harm: `+2.7%` of the baseline when relative, else `+0.007`; plus is worse. */
export function showHarm(harm: number | null, { relative }: Pick<SignalEvidence, "relative">): string {
  if (harm === null) return "-";
  const text = relative ? (100 * harm).toFixed(1) : harm.toFixed(3);
  const rounded = Number(text) === 0 ? text.replace("-", "") : text;
  return `${Number(text) > 0 ? "+" : ""}${rounded}${relative ? "%" : ""}`;
}

type Bounded = Pick<SignalEvidence, "delta" | "bound" | "tolerated" | "verdict" | "relative">;

/** `-0.007 (≤ +0.031)`: how bad it can still be; `(≥ …)` once harm above what is tolerated is proven: how bad it is at least. */
export function showDelta(signal: Bounded & { readonly low?: number | null }): string {
  const { delta, bound, tolerated, verdict, low } = signal;
  if (bound === null) return showHarm(delta, signal);
  const isLeast = low == null ? verdict === "breach" && bound > tolerated : low > tolerated;
  return `${showHarm(delta, signal)} (${isLeast ? "≥" : "≤"} ${showHarm(bound, signal)})`;
}

/** `0.01/0.05`, or `2%/10%` when relative. */
export function showMargin({ tolerated, limit, relative }: Pick<SignalEvidence, "tolerated" | "limit" | "relative">): string {
  const show = (margin: number) => (relative ? `${trim(Number((100 * margin).toFixed(1)))}%` : trim(margin));
  return `${show(tolerated)}/${show(limit)}`;
}

/** `980`, `9.8k`, `1.2M`. */
export function showCount(n: number): string {
  if (n < 1_000) return String(n);
  return n < 1_000_000 ? `${trim(Number((n / 1_000).toPrecision(2)))}k` : `${trim(Number((n / 1_000_000).toPrecision(2)))}M`;
}

/** `3/6  (1 5 [10] 25 50 100)`; in shadow `0/6`. */
export function showStep({ phase, step, ladder }: Pick<RouteSummary, "phase" | "step" | "ladder">): string {
  const rungs = ladder.map((share, i) => (i === step && !isOver(phase) ? `[${trim(share)}]` : trim(share))).join(" ");
  return `${phase === "done" ? ladder.length : step + 1}/${ladder.length}  (${rungs})`;
}

/** What it waits for: reasons before the sentence, unless the sentence says them. */
export function showMessage({ reasons, message }: Pick<RouteSummary, "reasons" | "message">): string {
  const missing = reasons.filter((reason) => !message.includes(reason));
  return plain([missing.join(", "), message].filter((part) => part !== "").join(": "));
}

export function trim(value: number): string {
  return String(Number(value.toFixed(4)));
}
