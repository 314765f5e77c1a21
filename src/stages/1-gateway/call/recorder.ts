import type { Logger } from "pino";
import type { CallLog } from "../log/request-log.ts";
import type { GatewayMetrics } from "../metrics.ts";
import type { CallRecord } from "./record.ts";

export interface RecorderDeps {
  readonly records: CallLog;
  readonly metrics: Pick<GatewayMetrics, "completed">;
  readonly log: Logger;
}

/** Makes and takes the records of completed calls. A record that cannot be made is a loss like any other: counted, and a gap that readers see. */
export class Recorder {
  readonly #deps: RecorderDeps;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
  }

  /** Never throws: the call has been answered. @returns the record; null when it could not be made */
  record(call: { readonly requestId: string; readonly subject: string }, make: () => CallRecord): CallRecord | null {
    const { records, metrics, log } = this.#deps;
    let record: CallRecord;
    try {
      record = make();
    } catch (error) {
      log.error({ err: error, requestId: call.requestId }, "the record of a call could not be made and is lost; please report this");
      records.lose(call.subject);
      return null;
    }
    records.push(record);
    metrics.completed(record);
    return record;
  }
}
