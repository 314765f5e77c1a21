import type { Request } from "../../../topics/index.ts";

/** Why a call failed, coarse enough to be a rate per version: what a person asks first. */
export const errorClasses = ["timeout", "rate_limit", "client", "server"] as const;
export type ErrorClass = (typeof errorClasses)[number];

/** A call, or one side of a pair, as far as its errors go. */
type Outcome = Pick<Request, "status" | "firstErrorType">;

/**
 * Whether a call counts as failed. A first attempt that failed counts although a later one was answered: retries spare the caller, and must not
 * hide a failing version from its gate.
 *
 * @returns null when it says nothing: the caller left before there was a failure
 */
export function isFailed({ status, firstErrorType }: Outcome): boolean | null {
  if (firstErrorType !== "") return true;
  return status === "cancelled" ? null : status !== "ok";
}

/** The class of an attempt's `errorType`, which is its HTTP status when it had one. */
function classOfType(errorType: string): ErrorClass {
  if (errorType === "timeout") return "timeout";
  if (errorType === "429") return "rate_limit";
  return /^4\d\d$/.test(errorType) ? "client" : "server";
}

/**
 * The class of a call's error; of its first attempt's where the last one was answered.
 *
 * `timeout`: no answer in time; `rate_limit`: 429; `client`: another 4xx, the request was refused; `server`: 5xx, or the
 * connection broke.
 * @returns null when the call did not fail
 */
export function errorClassOf({ status, httpStatus, firstErrorType }: Outcome & Pick<Request, "httpStatus">): ErrorClass | null {
  if (status === "timeout") return "timeout";
  if (status !== "error") return firstErrorType === "" ? null : classOfType(firstErrorType);
  if (httpStatus === 429) return "rate_limit";
  return httpStatus >= 400 && httpStatus < 500 ? "client" : "server";
}
