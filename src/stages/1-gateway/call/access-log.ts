import type { Logger } from "pino";
import type { CallRecord } from "./record.ts";

/** Lines of the access log, one per request; off unless the file asks for them. */
export interface AccessLog {
  completed(record: CallRecord): void;
  /** A request that the gateway answered with an error of its own. */
  rejected(about: { readonly requestId: string; readonly status: number; readonly code: string }): void;
}

export const noAccessLog: AccessLog = { completed: () => undefined, rejected: () => undefined };

/** Never a body, a subject, a key, or a name that the caller made up: only what the configuration and the routing tables know. */
export function accessLog(log: Logger): AccessLog {
  return {
    completed(record) {
      const { requestId, route, version, arm, exposure, endpoint, stream, status, errorType, httpStatus, finishReason } = record;
      const { latencyMs, ttftMs, inputTokens, outputTokens, costUsd, attempts, shieldedBy, pinned, caller, traceId, upstream } = record;
      const what = { requestId, traceId, caller, route, version, arm, exposure, pinned, endpoint, stream, upstream, attempts, shieldedBy };
      log.info({ ...what, status, errorType, httpStatus, finishReason, latencyMs, ttftMs, inputTokens, outputTokens, costUsd }, "call");
    },
    rejected: (about) => log.info(about, "call rejected"),
  };
}
