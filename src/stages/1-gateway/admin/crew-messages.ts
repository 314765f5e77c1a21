import type { Brake } from "../../../../topics/index.ts";
import { type ErrorCode, errorCodes } from "../../../errors/catalogue.ts";
import { KnownError } from "../../../errors/known-error.ts";
import type { AskedBrake } from "../routing/brake-here.ts";
import type { Remark } from "./remarks.ts";

/** What the first process of a gateway asks of each worker. */
export type CrewQuestion =
  /** Stop what the route serves by your own table; answered by `BrakedHere`. */
  | { readonly kind: "brake"; readonly asked: AskedBrake }
  /** Obey these, which one of you took; answered by `Obeyed`. */
  | { readonly kind: "obey"; readonly brakes: readonly Brake[] }
  /** Answered by `WorkerStatus`. */
  | { readonly kind: "status" };

/** The brake of one worker, or why there is nothing to brake by its table. */
export type BrakedHere = { readonly brake: Brake } | { readonly problem: Problem };
export interface Obeyed {
  readonly kept: boolean;
}

/** What `GET /v1/status` shows of one process, as far as the first process reads it. */
export interface WorkerStatus {
  readonly instance: string;
  readonly url: string;
  readonly ready: boolean;
  readonly connected: boolean;
  readonly stopping: boolean;
  readonly routes: readonly { readonly route: string; readonly epoch: number; readonly braked: boolean; readonly hold: string | null }[];
  readonly remarks: readonly Remark[];
}

/** What the first process tells whoever joins: brakes that were taken and not lifted since. */
export interface Welcome {
  readonly brakes: readonly Brake[];
}
/** What a worker tells unasked: when the brake on all routes was last cleared, epoch ms. */
export interface Cleared {
  readonly clearedAtMs: number;
}

/** A `KnownError` on its way between two processes. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}
export const problemOf = ({ code, message, fix }: KnownError): Problem => ({ code, message, fix });
export function errorOf({ code, message, fix }: Problem): KnownError {
  return new KnownError(code in errorCodes ? (code as ErrorCode) : "CONFLICT", message, { fix });
}
