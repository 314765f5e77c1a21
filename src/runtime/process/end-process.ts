import { once } from "node:events";
import { pause } from "../deps.ts";
import { endLogs } from "./logger.ts";
import { isWorker } from "./workers.ts";

/** A worker's last words are on their way until its channel to the first process is closed. */
const LAST_WORDS_MS = 1_000;

/**
 * Ends the process with its exit code, whatever still holds it. A role that has ended is of no use to anybody: one connection that does not close, to a Kafka that
 * hangs, would else keep it for as long, and whoever is to start it again waiting.
 */
export async function endProcess(code: number): Promise<never> {
  if (isWorker() && process.connected) await Promise.race([once(process, "disconnect"), pause(LAST_WORDS_MS)]);
  await endLogs();
  process.exit(code);
}
