import { type CatalogEntry, catalog, type EvidenceEntry, evidence, type GateEvent, gateEvents, type Topic } from "../../../topics/index.ts";
import { LogAdmin } from "../../runtime/kafka/admin.ts";
import type { Incoming, LogClient } from "../../runtime/port.ts";
import type { Cli } from "../cli.ts";
import { kafkaConnection } from "../kafka-connection.ts";
import { EventShelf } from "./event-shelf.ts";
import type { History } from "./history.ts";

/** A transaction writes `evidence` before `gate-events`: what of it was seen of the one is in the other after this time, ms. */
const SETTLE_MS = 500;

/**
 * A route's history on a Kafka cluster (KAFKA_BROKERS, SCHEMA_REGISTRY_URL, HEADGATE_PREFIX), as it stands now.
 *
 * @param name a route, or the id of a rollout
 * @throws {KnownError} CONFIG_INVALID, KAFKA_UNREACHABLE, NOT_FOUND …
 */
export async function openKafkaHistory(cli: Cli, name: string): Promise<History> {
  const { connection, connect, bound } = kafkaConnection(cli, "replay");
  const admin = new LogAdmin(connection);
  let log: LogClient | undefined;
  const close = async () => {
    await log?.close();
    await admin.close();
  };
  try {
    log = await connect();
    const opened = log;
    const history = await bound(() => open(opened, admin, name, close));
    return {
      ...history,
      readEvidence: (take) => bound(() => history.readEvidence(take)),
      readCatalog: (digests) => bound(() => history.readCatalog(digests)),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(log: LogClient, admin: LogAdmin, name: string, close: () => Promise<void>): Promise<History> {
  const bounds = await admin.bounds(log.prefix + evidence.name);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const { events, route, rollout } = await readEvents(log, name);
  const partition = log.partitionFor(evidence, route);
  const { low = 0, high = 0 } = bounds.get(partition) ?? {};
  const eventsLow = (await admin.bounds(log.prefix + gateEvents.name)).get(partition)?.low ?? 0;
  return {
    route,
    rollout,
    from: `${log.prefix}${evidence.name}, partition ${partition}`,
    partition,
    events,
    isEventHeadGone: eventsLow > 0,
    evidenceFromOffset: low,
    evidenceToOffset: high,
    readEvidence: (take) => readEvidence(log, { route, partition, high }, take),
    readCatalog: (digests) => readCatalog(log, digests),
    close,
  };
}

interface NamedEvents {
  readonly events: EventShelf;
  readonly route: string;
  readonly rollout: string | null;
}

/** Gate events of a route. A name that is no route but a rollout's id: of that rollout's route. */
async function readEvents(log: LogClient, name: string): Promise<NamedEvents> {
  const events = new EventShelf();
  let routeOfRollout: string | undefined;
  await readAll(log, gateEvents, (record) => {
    const event = record.value as GateEvent | null;
    if (event?.route === name) events.put(event);
    else if (event?.rollout === name) routeOfRollout = event.route;
    return true;
  });
  if (events.size > 0 || routeOfRollout === undefined) return { events, route: name, rollout: null };
  return { ...(await readEvents(log, routeOfRollout)), rollout: name };
}

async function readEvidence(
  log: LogClient,
  about: { readonly route: string; readonly partition: number; readonly high: number },
  take: (entry: EvidenceEntry, offset: number) => boolean,
): Promise<void> {
  await readAll(log, evidence, (record) => {
    if (record.partition !== about.partition || record.key !== about.route || record.value === null) return true;
    // What was decided since the events were read has no event on the shelf.
    return record.offset >= about.high || take(record.value as EvidenceEntry, record.offset);
  });
}

async function readCatalog(log: LogClient, digests: ReadonlySet<string>): Promise<CatalogEntry[]> {
  const found = new Map<string, CatalogEntry>();
  await readAll(log, catalog, ({ key, value }) => {
    if (key !== null && value !== null && digests.has(key)) found.set(key, value as CatalogEntry);
    return true;
  });
  return [...found.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** Reads a topic up to its present end, or until `take` answers false. What cannot be decoded ends it. */
async function readAll(log: LogClient, topic: Topic, take: (record: Incoming) => boolean): Promise<void> {
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined);
  let isOver = false;
  const follower = log.follow([topic], {
    from: "beginning",
    onError: ended.reject,
    onRecord: (record) => {
      if (isOver || take(record)) return;
      isOver = true;
      ended.resolve();
    },
  });
  try {
    await Promise.race([follower.caughtUp, ended.promise]);
  } finally {
    await follower.close();
  }
}
