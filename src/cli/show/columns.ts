import type { Terminal } from "../terminal.ts";

export type Tone = "good" | "bad" | "warn" | "dim";
export interface Cell {
  readonly text: string;
  readonly tone?: Tone | undefined;
  /** A sentence at the end of a row: it runs on over the columns and widens none. */
  readonly isSentence?: boolean;
}

const codes: Readonly<Record<Tone, string>> = { good: "32", bad: "31", warn: "33", dim: "2" };

/** Colours a text, where there is colour. */
export function paint(text: string, tone: Tone | undefined, terminal: Pick<Terminal, "isColored">): string {
  return tone === undefined || !terminal.isColored || text === "" ? text : `\u001b[${codes[tone]}m${text}\u001b[0m`;
}

/** Rows as columns, two spaces apart, padded by what is seen; the last column is not padded. */
export function columns(rows: readonly (readonly (Cell | string)[])[], terminal: Pick<Terminal, "isColored">): string[] {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)));
  const widths = Array.from({ length: Math.max(0, ...cells.map((row) => row.length)) }, (_, i) =>
    Math.max(0, ...cells.map((row) => (row[i]?.isSentence === true ? 0 : [...(row[i]?.text ?? "")].length))),
  );
  return cells.map((row) =>
    row
      .map((cell: Cell, i) => `${paint(cell.text, cell.tone, terminal)}${i === row.length - 1 ? "" : " ".repeat((widths[i] ?? 0) - [...cell.text].length)}`)
      .join("  ")
      .trimEnd(),
  );
}
