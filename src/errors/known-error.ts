import type { ErrorCode } from "./catalogue.ts";

/**
 * A foreseen failure: a code to search for, a sentence that stands alone, and what to do about it. Unforeseen errors stay
 * plain errors and keep their stack.
 */
export class KnownError extends Error {
  readonly code: ErrorCode;
  readonly fix: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, problem: string, about: { fix: string; details?: Readonly<Record<string, unknown>>; cause?: unknown }) {
    super(problem, { cause: about.cause });
    this.name = "KnownError";
    this.code = code;
    this.fix = about.fix;
    this.details = about.details ?? {};
  }

  /** What the command line prints: no stack. */
  report(): string {
    return `error ${this.code}: ${this.message}\n  fix: ${this.fix}`;
  }
}
