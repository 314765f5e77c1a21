import type { Logger } from "pino";
import type { Topic } from "../../topics/index.ts";
import type { LogAdmin } from "./kafka/admin.ts";
import type { Connection } from "./kafka/client.ts";
import type { RuntimeMetrics } from "./metrics.ts";
import type { Serde } from "./serde.ts";

/** Points at which a test may kill, stop or fail a task; a hook that is absent in production. */
export type FaultPoint = "fenced" | "committed-read" | "started" | "before-send" | "after-send" | "before-commit" | "after-commit";
export type Faults = (point: FaultPoint, partition: number) => void | Promise<void>;

/** What the parts of the runtime share; made once per connection by `connectLog`. */
export interface RuntimeDeps {
  readonly connection: Connection;
  readonly admin: LogAdmin;
  readonly serde: Serde;
  readonly prefix: string;
  readonly log: Logger;
  readonly metrics: RuntimeMetrics;
  readonly sessionTimeoutMs: number;
  readonly acceptGap: boolean;
  readonly faults: Faults | undefined;
  readonly now: () => number;
  /** Partition count from the layout record. @throws {KnownError} TOPIC_MISSING */
  readonly partitionsOf: (topic: Topic) => number;
  /** Compares the layout record with the cluster. @throws {KnownError} TOPIC_MISSING, LAYOUT_MISMATCH */
  readonly verify: (topics: readonly Topic[]) => Promise<void>;
}

/** Resolves after a time, or at once when the signal fires; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish, { once: true });
  });
}

/** Exponential backoff with half of it random, so that many tasks do not come back in step. `attempt` counts from 0. */
export function backoffMs(attempt: number, firstMs: number, mostMs: number): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 20));
  return full / 2 + Math.random() * (full / 2);
}
