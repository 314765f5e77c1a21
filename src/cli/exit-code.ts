import type { ErrorCode } from "../errors/catalogue.ts";
import { KnownError } from "../errors/known-error.ts";

/** What the process ends with; scripts and CI act on it. */
export const exitCode = {
  /** Done, or what was asked is in effect. */
  ok: 0,
  /** Rolled back, or the command failed. */
  failed: 1,
  /** Wrong usage, an invalid spec or configuration. */
  usage: 2,
  /** Still under way when the time was over. */
  progressing: 3,
  /** Paused, frozen or waiting for an approval: a person is needed. */
  needsPerson: 4,
  notFound: 5,
  /** Conflicts with the current state, or forbidden. */
  conflict: 6,
} as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

const byError: Readonly<Partial<Record<ErrorCode, ExitCode>>> = {
  CONFIG_INVALID: exitCode.usage,
  LAYOUT_MISMATCH: exitCode.usage,
  LAYOUT_UNKNOWN: exitCode.usage,
  SPEC_INVALID: exitCode.usage,
  RUBRIC_INVALID: exitCode.usage,
  REQUEST_INVALID: exitCode.usage,
  RECORD_INVALID: exitCode.usage,
  BUNDLE_INVALID: exitCode.usage,
  RECORD_TOO_LARGE: exitCode.usage,
  NOT_FOUND: exitCode.notFound,
  CONFLICT: exitCode.conflict,
  FORBIDDEN: exitCode.conflict,
};

export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof KnownError ? (byError[error.code] ?? exitCode.failed) : exitCode.failed;
}
