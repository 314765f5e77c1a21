import type { Problem } from "../../config/schema-problems.ts";
import { type ErrorCode, errorCodes } from "../../errors/catalogue.ts";
import { KnownError } from "../../errors/known-error.ts";

/** An error answer, RFC 9457 (`application/problem+json`), with headgate's code and what to do about it. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode | "UNFORESEEN";
  readonly fix: string;
  /** Of a document that a person wrote: each thing that is wrong with it. */
  readonly errors?: readonly Problem[];
  readonly [extension: string]: unknown;
}

const statusOf: Readonly<Partial<Record<ErrorCode, number>>> = {
  SPEC_INVALID: 422,
  RUBRIC_INVALID: 422,
  RECORD_INVALID: 422,
  TOPIC_MISSING: 503,
  REQUEST_INVALID: 400,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  RECORD_TOO_LARGE: 413,
  KAFKA_UNREACHABLE: 503,
  REGISTRY_UNREACHABLE: 503,
};

/** What of a web framework's error is used: its status tells a caller's mistake from ours. */
interface FrameworkError {
  readonly statusCode: number;
  readonly message: string;
}

const fixOf: Readonly<Record<number, string>> = {
  413: "send a smaller body",
  415: "send application/json or application/yaml",
  404: "docs/api.md lists every route; GET /openapi.json describes them",
};

/** The answer to a failure. Unforeseen failures say nothing of their inside; the log has it. */
export function problemOf(error: unknown): ProblemDocument {
  if (error instanceof KnownError) {
    const { status, ...details } = error.details as { status?: number };
    return document(error.code, status ?? statusOf[error.code] ?? 500, error.message, error.fix, details);
  }
  if (isCallersMistake(error)) {
    return document("REQUEST_INVALID", error.statusCode, error.message, fixOf[error.statusCode] ?? "GET /openapi.json describes what is expected", {});
  }
  return {
    type: "urn:headgate:error:UNFORESEEN",
    title: "a failure that was not foreseen",
    status: 500,
    detail: "the request could not be handled; whether it took effect is unknown",
    code: "UNFORESEEN",
    fix: "look at the log of control, then repeat the request: writes are idempotent by their id",
  };
}

function document(code: ErrorCode, status: number, detail: string, fix: string, details: Readonly<Record<string, unknown>>): ProblemDocument {
  return { type: `urn:headgate:error:${code}`, title: errorCodes[code], status, detail, code, fix, ...details };
}

function isCallersMistake(error: unknown): error is FrameworkError {
  if (!(error instanceof Error) || !("statusCode" in error)) return false;
  return typeof error.statusCode === "number" && error.statusCode >= 400 && error.statusCode < 500;
}
