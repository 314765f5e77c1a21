import type { Logger } from "pino";
import { KnownError } from "../errors/known-error.ts";
import { backoffMs, pause } from "./deps.ts";
import { isKafka, isRefused, reasonOf } from "./kafka/errors.ts";
import { RegistryUnreachableError } from "./registry.ts";

const firstWaitMs = 500;
const mostWaitMs = 5_000;
const tellEveryMs = 60_000;

/**
 * Connects as soon as Kafka and the registry answer, however long that takes. A process that ended instead would be started again and again
 * for as long as they are away, which costs a machine more than all its roles do at work, and a supervisor that waits longer each time
 * would come back minutes after them.
 *
 * @returns null when the signal fired first
 * @throws what is no outage: wrong credentials, topics that are missing, a bug
 */
export async function connectPatiently<T>(connect: () => Promise<T>, log: Logger, signal: AbortSignal): Promise<T | null> {
  let told: string | null = null;
  let toldAtMs = 0;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      return await connect();
    } catch (error) {
      if (!isOutage(error)) throw error;
      const { code = "", fix, message } = error instanceof KnownError ? error : { message: reasonOf(error) };
      if (code !== told || performance.now() - toldAtMs >= tellEveryMs) {
        log.warn({ code, fix }, `${message}: waiting for it`);
        told = code;
        toldAtMs = performance.now();
      }
      await pause(backoffMs(attempt, firstWaitMs, mostWaitMs), signal);
    }
  }
  return null;
}

function isOutage(error: unknown): boolean {
  if (isRefused(error) || (error instanceof RegistryUnreachableError && error.isRefused)) return false;
  return isKafka(error) || (error instanceof KnownError && (error.code === "KAFKA_UNREACHABLE" || error.code === "REGISTRY_UNREACHABLE"));
}
