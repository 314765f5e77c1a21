import { type Brake, brakes, type CatalogEntry, type Command, catalog, commands, type DeclaredRollout, rollouts } from "../../../topics/index.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { Appender, LogClient, Outgoing } from "../../runtime/port.ts";

/** The four kinds of record that control writes, each to the partition of its key. */
export interface WriteLog {
  catalog(entries: readonly CatalogEntry[]): Promise<void>;
  rollout(record: DeclaredRollout): Promise<void>;
  command(record: Command): Promise<void>;
  brake(record: Brake): Promise<void>;
  close(): Promise<void>;
}

/** How long a caller waits for the acknowledgement of Kafka before it is told that the outcome is unknown. */
const retryBudgetMs = 10_000;

export function openWriteLog(log: LogClient): WriteLog {
  const appender: Appender = log.openAppender({ retryBudgetMs });
  const append = async (records: readonly Outgoing[]): Promise<void> => {
    try {
      await appender.append(records);
    } catch (error) {
      if (error instanceof KnownError && (error.code === "RECORD_INVALID" || error.code === "RECORD_TOO_LARGE" || error.code === "TOPIC_MISSING")) throw error;
      throw new KnownError("KAFKA_UNREACHABLE", "Kafka did not acknowledge the record; whether it was written is unknown", {
        fix: "repeat the request: it is idempotent by its id or digest; to stop a candidate at once, without Kafka: `headgate brake ROUTE --gateway URL` (docs/gateway.md)",
        cause: error,
      });
    }
  };
  return {
    catalog: (entries) =>
      entries.length === 0
        ? Promise.resolve()
        : append(entries.map((value) => ({ topic: catalog, partition: log.partitionFor(catalog, value.digest), key: value.digest, value }))),
    rollout: (value) => append([{ topic: rollouts, partition: log.partitionFor(rollouts, value.route), key: value.route, value }]),
    command: (value) => append([{ topic: commands, partition: log.partitionFor(commands, value.route), key: value.route, value }]),
    brake: (value) => append([{ topic: brakes, partition: log.partitionFor(brakes, value.route), key: value.route, value }]),
    close: () => appender.close(),
  };
}
