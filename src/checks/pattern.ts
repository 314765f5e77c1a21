import { patternSteps } from "../domain/checks/pattern-steps.ts";
import type { RunLimited } from "./time-limit.ts";

/** Steps that a check may take without a time limit: a few milliseconds. */
export const FREE_STEPS = 500_000;

/**
 * Compiles a pattern of a spec. Searches that are provably short run as they are, all others against the clock.
 *
 * @throws {SyntaxError} when it is not a pattern
 */
export function compilePattern(pattern: string, runLimited: RunLimited): (text: string) => boolean | null {
  const compiled = new RegExp(pattern);
  const steps = patternSteps(pattern, false);
  return (text) => {
    if (steps(text.length) > FREE_STEPS) return runLimited(() => compiled.test(text));
    try {
      return compiled.test(text);
    } catch {
      // V8 finds only now that the pattern is too large for it, and will again: told and given up like one that is slow.
      return runLimited(() => compiled.test(text));
    }
  };
}
