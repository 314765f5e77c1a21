import type { Request } from "../../../topics/index.ts";

/** Why a call failed, coarse enough to be a rate per version: what a person asks first. */
export const errorClasses = ["timeout", "rate_limit", "client", "server"] as const;
export type ErrorClass = (typeof errorClasses)[number];

/**
 * The class of a call's error.
 *
 * `timeout`: no answer in time; `rate_limit`: 429; `client`: another 4xx, the request was refused; `server`: 5xx, or the
 * connection broke.
 * @returns null when the call did not fail
 */
export function errorClassOf({ status, httpStatus }: Pick<Request, "status" | "httpStatus">): ErrorClass | null {
  if (status === "timeout") return "timeout";
  if (status !== "error") return null;
  if (httpStatus === 429) return "rate_limit";
  return httpStatus >= 400 && httpStatus < 500 ? "client" : "server";
}
