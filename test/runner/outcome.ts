/** What became of one test, or of a whole file that did not even get to its tests. */
export interface Outcome {
  readonly file: string;
  /** Names of the suites around it and its own, joined by ` > `. */
  readonly name: string;
  readonly result: "passed" | "failed" | "skipped";
  /** What went wrong, ready to print; of a skipped test, why it was. */
  readonly error?: string;
}

/** Lines that a test process writes: outcomes, things worth showing when it fails, and that it came to its end. */
export type RunnerMessage = ({ readonly kind: "outcome" } & Outcome) | { readonly kind: "note"; readonly text: string } | { readonly kind: "end" };

/** What `node:test` says when a test or a suite is through; only the fields that matter here. */
export interface TestEvent {
  readonly name: string;
  readonly nesting: number;
  readonly file: string;
  readonly hasFailed: boolean;
  readonly isSkipped: boolean;
  readonly isSuite: boolean;
  readonly failureType?: string;
  readonly error?: string;
}

/**
 * Turns events of `node:test` into outcomes of leaf tests. A parent is counted only when it failed for a reason of its own
 * (its hook or its own code), so that nothing is counted twice and nothing that failed is left out.
 */
export class LeafCounter {
  readonly #path: string[] = [];
  /** Per nesting level: was anything reported there since the level above was last closed. */
  readonly #hasReported: boolean[] = [];

  /** A test or suite begins; begins come in the order in which results will. */
  began(name: string, nesting: number): void {
    this.#path[nesting] = name;
    this.#path.length = nesting + 1;
  }

  /** @returns the outcome to count, or nothing for a parent whose children tell it all */
  ended(event: TestEvent): Outcome | undefined {
    const { nesting, file, name } = event;
    const isParent = event.isSuite || this.#hasReported[nesting + 1] === true;
    this.#hasReported[nesting + 1] = false;
    this.#hasReported[nesting] = true;
    const path = [...this.#path.slice(0, nesting), name].join(" > ");
    // A file without tests is reported by Node as one passed test that bears the file's name.
    if (nesting === 0 && name === file) return { file, name: "(the file)", result: "failed", error: "there is no test in this file" };
    if (event.hasFailed && !(isParent && event.failureType === "subtestsFailed")) return { file, name: path, result: "failed", error: event.error ?? "failed" };
    if (isParent && !event.isSkipped) return undefined;
    return event.isSkipped ? { file, name: path, result: "skipped", error: event.error ?? "" } : { file, name: path, result: "passed" };
  }
}

/** The closing line that CI reads. */
export function closingLine(outcomes: readonly Outcome[]): string {
  const count = (result: Outcome["result"]): number => outcomes.filter((outcome) => outcome.result === result).length;
  const skipped = count("skipped");
  return `${count("passed")} passed, ${count("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
