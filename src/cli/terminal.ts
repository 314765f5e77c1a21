import { stripVTControlCharacters } from "node:util";

/** Where the command line writes. The only place that does: everything else returns text. */
export interface Terminal {
  /** Results, one or more lines, without the last line end. */
  out(text: string): void;
  /** Progress, warnings and errors. */
  err(text: string): void;
  /** Replaces what the last `redraw` showed. */
  redraw(text: string): void;
  /** A person looks at `out`: lines may be redrawn. */
  readonly isInteractive: boolean;
  readonly isColored: boolean;
}

/** The terminal of a process. Without colour when it is no TTY, when NO_COLOR is set, or TERM is `dumb` (no-color.org). */
export function processTerminal(streams: Pick<NodeJS.Process, "stdout" | "stderr">, env: Readonly<Record<string, string | undefined>>): Terminal {
  const isInteractive = streams.stdout.isTTY === true && env.TERM !== "dumb";
  const isColored = isInteractive && (env.NO_COLOR ?? "") === "";
  return {
    out: (text) => void streams.stdout.write(`${text}\n`),
    err: (text) => void streams.stderr.write(`${text}\n`),
    // Home, then each line cleared to its end, then the rest of the screen: no flicker.
    redraw: (text) => void streams.stdout.write(`\u001b[H${text.replaceAll("\n", "\u001b[K\n")}\u001b[K\n\u001b[J`),
    isInteractive,
    isColored,
  };
}

/** What comes from others (reasons, messages, names) must not move the cursor or colour the screen of who reads it. */
export function plain(text: string): string {
  return [...stripVTControlCharacters(text)].map((letter) => (isControl(letter) ? " " : letter)).join("");
}

/** C0, DEL and C1. */
function isControl(letter: string): boolean {
  const code = letter.codePointAt(0) ?? 0;
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}
