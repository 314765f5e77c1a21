import type { ISocketFactory } from "kafkajs";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import { type CatalogEntry, catalog, type Topic } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { LogAppender } from "./appender.ts";
import { type Faults, pause, type RuntimeDeps } from "./deps.ts";
import { follow } from "./follower.ts";
import { LogAdmin } from "./kafka/admin.ts";
import type { Security } from "./kafka/client.ts";
import { type Layout, layoutKey, parseLayout } from "./layout.ts";
import { runtimeMetrics } from "./metrics.ts";
import { partitionOf } from "./partitioner.ts";
import type { Appender, LogClient } from "./port.ts";
import { Serde } from "./serde.ts";
import { openTable } from "./table.ts";
import { runRole } from "./task-runner.ts";

export interface ConnectOptions {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  /** Of all topics, groups and transactional ids, for example `headgate.`. */
  readonly prefix: string;
  /** How this process is called in the brokers' logs. */
  readonly clientId: string;
  readonly log: Logger;
  readonly security?: Security | undefined;
  /** Where the runtime's metrics are registered; absent: nowhere. */
  readonly metrics?: Registry | undefined;
  /** After how long without a heartbeat a process loses its tasks, ms; 6,000 or more on brokers with default settings. Default 10,000. */
  readonly sessionTimeoutMs?: number | undefined;
  /** Go on where records were deleted before they were read, instead of ending with GAP. Default false. */
  readonly acceptGap?: boolean | undefined;
  /** Epoch ms; default the wall clock. */
  readonly now?: (() => number) | undefined;
  /** Test hooks, inert when absent. */
  readonly faults?: Faults | undefined;
  readonly socketFactory?: ISocketFactory | undefined;
}

const layoutWaitMs = 30_000;

/**
 * Connects to one headgate prefix: checks brokers and registry, reads the layout record and compares it with the topics
 * that exist.
 *
 * @throws {KnownError} KAFKA_UNREACHABLE, REGISTRY_UNREACHABLE, TOPIC_MISSING, LAYOUT_MISMATCH, LAYOUT_UNKNOWN
 */
export async function connectLog(options: ConnectOptions): Promise<LogClient> {
  const { brokers, clientId, log, security, socketFactory, prefix } = options;
  const connection = { brokers, clientId, log, security, socketFactory };
  const admin = new LogAdmin(connection);
  const connected = new Connected(options, admin);
  try {
    await admin.reach();
    await connected.begin(await Serde.connect(options.registryUrl, prefix), connection);
    return connected;
  } catch (error) {
    await connected.close();
    throw error;
  }
}

class Connected implements LogClient {
  readonly prefix: string;
  readonly #options: ConnectOptions;
  readonly #admin: LogAdmin;
  readonly #open = new Set<() => Promise<void>>();
  #counts: Readonly<Record<string, number>> = { [catalog.name]: 1 };
  #deps: RuntimeDeps | null = null;

  constructor(options: ConnectOptions, admin: LogAdmin) {
    this.prefix = options.prefix;
    this.#options = options;
    this.#admin = admin;
  }

  async begin(serde: Serde, connection: RuntimeDeps["connection"]): Promise<void> {
    const { log, metrics, sessionTimeoutMs = 10_000, acceptGap = false, faults, now = Date.now } = this.#options;
    const deps: RuntimeDeps = {
      connection,
      admin: this.#admin,
      serde,
      prefix: this.prefix,
      log,
      metrics: runtimeMetrics(metrics),
      sessionTimeoutMs,
      acceptGap,
      faults,
      now,
      partitionsOf: (topic) => this.partitionsOf(topic),
      verify: (topics) => this.#verify(topics),
    };
    this.#deps = deps;
    await serde.prepare([catalog]).catch(async (error: unknown) => {
      const isMissing = error instanceof KnownError && error.code === "TOPIC_MISSING";
      if (!isMissing || !(await hasRecords(this.#admin, this.prefix + catalog.name))) throw error;
      await serde.prepareWritten(catalog);
    });
    const { partitions } = await readLayout(deps);
    this.#counts = { ...partitions };
    await this.#compare(Object.keys(partitions), { mayBeHidden: true });
  }

  get #ready(): RuntimeDeps {
    if (this.#deps === null) throw new Error("not connected");
    return this.#deps;
  }

  partitionsOf(topic: Topic): number {
    const count = this.#counts[topic.name];
    if (count === undefined) {
      throw new KnownError("TOPIC_MISSING", `the layout record of prefix ${this.prefix} does not know the topic ${topic.name}`, {
        fix: "run `headgate topics apply` with this version of headgate and this prefix",
      });
    }
    return count;
  }

  partitionFor(topic: Topic, key: string): number {
    return partitionOf(key, this.partitionsOf(topic));
  }

  async #verify(topics: readonly Topic[]): Promise<void> {
    for (const topic of topics) this.partitionsOf(topic);
    await this.#compare(
      topics.map(({ name }) => name),
      { mayBeHidden: false },
    );
  }

  /** @param mayBeHidden a topic that we are not allowed to see (a role sees only its own) looks like one that is missing */
  async #compare(names: readonly string[], { mayBeHidden }: { mayBeHidden: boolean }): Promise<void> {
    const actual = await this.#admin.partitionCounts(names.map((name) => this.prefix + name));
    const missing = names.filter((name) => !actual.has(this.prefix + name)).map((name) => this.prefix + name);
    if (missing.length > 0 && !mayBeHidden) {
      throw new KnownError("TOPIC_MISSING", `${missing.join(", ")} ${missing.length === 1 ? "does" : "do"} not exist, or may not be seen by this user`, {
        fix: "run `headgate topics apply` with this prefix, or give the user Describe on the topic",
      });
    }
    const wrong = names.filter((name) => actual.has(this.prefix + name) && actual.get(this.prefix + name) !== this.#counts[name]);
    if (wrong.length > 0) {
      const lines = wrong.map((name) => `${this.prefix}${name} has ${actual.get(this.prefix + name)} partitions, the layout record says ${this.#counts[name]}`);
      throw new KnownError("LAYOUT_MISMATCH", lines.join("; "), {
        fix: "partition counts are frozen per prefix: use a new prefix, or put the counts back",
      });
    }
  }

  async runRole(role: Parameters<LogClient["runRole"]>[0]) {
    const running = await runRole(this.#ready, role);
    return Object.assign(running, { stop: this.#closing(running.stop.bind(running)) });
  }

  openTable: LogClient["openTable"] = (topic, options) => this.#closable(openTable(this.#ready, topic, options));

  follow: LogClient["follow"] = (topics, options) => this.#closable(follow(this.#ready, topics, options));

  openAppender: LogClient["openAppender"] = (options) => this.#closable<Appender>(new LogAppender(this.#ready, options));

  #closable<T extends { close(): Promise<void> }>(opened: T): T {
    return Object.assign(opened, { close: this.#closing(opened.close.bind(opened)) });
  }

  /** Closes with this client what was not closed before. It is known until its close is over: until then it needs the client's connection. */
  #closing(close: () => Promise<void>): () => Promise<void> {
    let closing: Promise<void> | null = null;
    const once = (): Promise<void> => {
      closing ??= close().finally(() => this.#open.delete(once));
      return closing;
    };
    this.#open.add(once);
    return once;
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open].map((close) => close()));
    await this.#admin.close();
  }
}

/** False also for a topic that does not exist or that we may not see. */
async function hasRecords(admin: LogAdmin, topic: string): Promise<boolean> {
  if (!(await admin.partitionCounts([topic])).has(topic)) return false;
  return [...(await admin.bounds(topic)).values()].some(({ low, high }) => high > low);
}

/** The newest layout record in `catalog`. */
async function readLayout(deps: RuntimeDeps): Promise<Layout> {
  const name = deps.prefix + catalog.name;
  const fix = "run `headgate topics apply` with this prefix";
  if (!(await deps.admin.partitionCounts([name])).has(name)) {
    throw new KnownError("TOPIC_MISSING", `${name} does not exist, or may not be seen by this user`, { fix });
  }
  const table = openTable({ ...deps, verify: async () => undefined }, catalog, { fields: ["kind", "text"] });
  const done = new AbortController();
  try {
    await Promise.race([table.ready, pause(layoutWaitMs, done.signal).then(() => Promise.reject(new Error("timed out")))]);
    const entry = table.get(layoutKey) as Pick<CatalogEntry, "text"> | undefined;
    if (entry === undefined) throw new KnownError("TOPIC_MISSING", `prefix ${deps.prefix} has no layout record in ${name}`, { fix });
    return parseLayout(entry.text);
  } catch (error) {
    if (error instanceof KnownError) throw error;
    throw new KnownError("KAFKA_UNREACHABLE", `${name} could not be read within ${layoutWaitMs / 1000} s`, {
      fix: "check that the brokers are up, and that this user may read the topic and use groups that begin with the prefix",
      cause: error,
    });
  } finally {
    done.abort();
    await table.close();
  }
}
