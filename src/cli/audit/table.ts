import type { ContenderResult } from "../../domain/audit/summary.ts";
import { type Cell, columns, paint } from "../show/columns.ts";
import type { Terminal } from "../terminal.ts";
import { plain } from "../terminal.ts";
import { type Audited, findings, showNoticing, showShare } from "./words.ts";

type Colours = Pick<Terminal, "isColored">;

/** The whole answer of an audit, for a terminal. */
export function auditTable(audited: Audited, terminal: Colours): string[] {
  const { result } = audited;
  const heading: Cell[] = [
    { text: "RULE" },
    { text: "STOPS AN IDENTICAL MODEL" },
    ...result.effects.map(({ title }, i) => ({ text: i === 0 ? `NOTICES ${title}` : title })),
  ];
  const rows = result.contenders.map((contender) => row(contender, audited));
  return [
    ...findings(audited),
    "",
    ...columns([heading.map((cell) => ({ ...cell, tone: "dim" as const })), ...rows], terminal),
    "",
    ...notes(audited).map((note) => paint(note, "dim", terminal)),
    "",
    ...result.contenders.map(({ name, reading }) => paint(`${plain(name)}: ${plain(reading)}`, "dim", terminal)),
  ];
}

function row(contender: ContenderResult, audited: Audited): Cell[] {
  const { identical, kind, name } = contender;
  return [
    { text: plain(name) + (kind === "ready_made" ? " ¹" : "") },
    { text: showShare(identical), tone: identical.value > audited.result.alpha ? "bad" : "good" },
    ...contender.noticing.map((noticing) => ({ text: showNoticing(noticing, audited) })),
  ];
}

function notes({ result, usersPerCall }: Audited): string[] {
  const { rollouts, settings, limits } = result;
  const unit = usersPerCall === null ? "calls" : "users";
  return [
    `limits of the ready-made rules: ${limits.join(", ")}`,
    `within ${settings.hours} h; ± is the Monte Carlo error (95 %) of ${rollouts.identical} rollouts. Harm: median of ${rollouts.perEffect} rollouts until the stop, and ${unit} of the worse model by then;`,
    `"> ${settings.hours} h": not half of them were stopped; (n %): share that was. Read the right columns only of rules whose left one is small: a rule that stops everything also stops harm early.`,
    "¹ a re-implementation of the rule, not the product.",
  ];
}
