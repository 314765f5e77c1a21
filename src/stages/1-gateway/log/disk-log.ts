import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { GatewayMetrics } from "../metrics.ts";
import type { Destination, DropReason } from "./request-log.ts";
import { Leftovers } from "./spool/leftovers.ts";
import { ForeignSpool, Spool, SpoolSpace } from "./spool/spool.ts";

const DIRECTORY = "spool";
const LOOK_EVERY_MS = 60_000;

/** The disk side of the log: this process's spool, and what earlier ones left. */
export interface DiskLog {
  /** null: there is no directory, or the disk refuses. */
  readonly spool: Spool | null;
  /** Why there is none although there should be one; null: nothing is wrong. */
  readonly problem: string | null;
  readonly usedBytes: () => number;
  /** From now on, and each minute, what dead processes left is written. */
  connect(destination: Destination): void;
  stop(): Promise<void>;
}

export interface DiskLogOptions {
  readonly data: string | null;
  readonly instance: string;
  /** HEADGATE_PREFIX: records that another one left in the directory are not written into this one. */
  readonly prefix: string;
  readonly maxBytes: number;
  readonly log: Logger;
  readonly metrics: GatewayMetrics;
  readonly onDrop: (reason: DropReason, records: number) => void;
}

/** Bytes of the files in those directories of a directory. What cannot be looked at, or is deleted meanwhile, has none. */
async function bytesIn(root: string, isMeant: (directory: string) => boolean): Promise<number> {
  const namesIn = (path: string) => readdir(path).catch((): string[] => []);
  let bytes = 0;
  for (const directory of (await namesIn(root)).filter(isMeant)) {
    for (const name of await namesIn(join(root, directory)))
      bytes += await stat(join(root, directory, name)).then(
        ({ size }) => size,
        () => 0,
      );
  }
  return bytes;
}

/** Opens the spool. Never throws: with a disk that refuses the gateway serves too, and keeps records in memory only. */
export async function openDiskLog(options: DiskLogOptions): Promise<DiskLog> {
  const { data, instance, prefix, maxBytes, log, metrics, onDrop } = options;
  const none = { spool: null, problem: null, usedBytes: () => 0, connect: () => undefined, stop: async () => undefined };
  if (data === null || maxBytes === 0) return none;
  const root = join(data, DIRECTORY);
  const own = encodeURIComponent(instance);
  const space = new SpoolSpace(maxBytes);
  const onFailure = () => metrics.spoolFailures.inc();
  const onDamage: ConstructorParameters<typeof Leftovers>[0]["onDamage"] = (damage) => {
    metrics.spoolDamages.inc({ kind: damage.isTorn ? "torn" : "damaged" });
    if (damage.isTorn) log.warn(damage, "the spool ends in the middle of a record, as a killed process leaves it: it is cut there");
    else log.error(damage, "the spool is damaged: it is read on from the next whole record, and what is missing is counted as lost");
  };
  try {
    const spool = await Spool.open({ directory: join(root, own), prefix, space, onDamage });
    const leftovers = new Leftovers({
      root,
      own,
      prefix,
      space,
      onDamage,
      log,
      onDrop,
      onFailure,
      onAppendFailure: () => metrics.appendFailures.inc(),
      onReplay: (records) => metrics.replayed.inc(records),
    });
    const measure = async (): Promise<void> => {
      space.othersBytes = await bytesIn(root, (name) => name !== own && name !== leftovers.open);
    };
    await measure();
    const measuring = setInterval(() => void measure(), LOOK_EVERY_MS);
    measuring.unref();
    let timer: NodeJS.Timeout | undefined;
    return {
      spool,
      problem: spool === null ? `${join(root, own)} is another process's` : null,
      usedBytes: () => space.usedBytes,
      connect(destination) {
        leftovers.look(destination);
        timer = setInterval(() => leftovers.look(destination), LOOK_EVERY_MS);
        timer.unref();
      },
      async stop() {
        clearInterval(timer);
        clearInterval(measuring);
        await leftovers.stop();
      },
    };
  } catch (error) {
    onFailure();
    log.error({ err: error, root }, "the spool cannot be opened: records wait in memory only");
    return { ...none, problem: error instanceof ForeignSpool ? error.message : `${root} cannot be opened (${codeOf(error)})` };
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? (error as Error).message;
