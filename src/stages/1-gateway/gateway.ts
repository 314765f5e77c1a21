import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import { requests } from "../../../topics/index.ts";
import { checkCompilers } from "../../checks/check-compilers.ts";
import { schemaForms } from "../../domain/checks/schema-check.ts";
import type { LogClient } from "../../runtime/port.ts";
import type { FirstProcess } from "../../runtime/process/crew.ts";
import type { SealedTokens } from "../../runtime/sealed-tokens.ts";
import { steadyNowMs, wallOf } from "../../runtime/steady-clock.ts";
import { watchCallers } from "./access/watch-callers.ts";
import type { AdminConfig } from "./admin/admin-config.ts";
import { askedRemarks } from "./admin/asked-remarks.ts";
import { BrakeDesk } from "./admin/brake-desk.ts";
import { joinCrew } from "./admin/join-crew.ts";
import { type Condition, type Remark, remarksOf } from "./admin/remarks.ts";
import { type Admin, startAdmin } from "./admin/start-admin.ts";
import { AnswerMemory } from "./call/answer-memory.ts";
import { Conversations } from "./call/conversations.ts";
import { InFlight } from "./call/in-flight.ts";
import { Mirror } from "./call/mirror.ts";
import { Recorder } from "./call/recorder.ts";
import { watchSecrets } from "./call/secrets-watch.ts";
import { Serve } from "./call/serve.ts";
import { shareConversations } from "./call/share-conversations.ts";
import { Upstream } from "./call/upstream.ts";
import { wholeChecker } from "./call/whole-checks.ts";
import { type GatewayConfig, parseGatewayFile } from "./config.ts";
import { listen } from "./http/listen.ts";
import { gatewayServer } from "./http/server.ts";
import { Uploads } from "./http/uploads.ts";
import { type BackgroundConnection, connectInBackground } from "./log/connect-in-background.ts";
import { type DiskLog, openDiskLog } from "./log/disk-log.ts";
import { EventClock } from "./log/event-clock.ts";
import { FleetReporter } from "./log/fleet-reporter.ts";
import { type DropReason, noCallLog, RequestLog } from "./log/request-log.ts";
import { GatewayMetrics } from "./metrics.ts";
import { OutcomeIntake } from "./outcomes/intake.ts";
import type { AskedBrake } from "./routing/brake-here.ts";
import { BrakeWriter } from "./routing/brake-writer.ts";
import { followTables } from "./routing/follow-tables.ts";
import { LiveRoutes } from "./routing/live-routes.ts";
import { SnapshotKeeper } from "./routing/snapshot-keeper.ts";

export interface GatewayOptions {
  readonly config: GatewayConfig;
  /** null: no admin port. */
  readonly admin: AdminConfig | null;
  readonly subjectKey: string;
  /** What whoever asks is told of the environment that it was started with. */
  readonly remarks?: readonly Remark[];
  /** null: answers carry no outcome tokens. */
  readonly tokens: SealedTokens | null;
  readonly instance: string;
  /** HEADGATE_PREFIX: what another installation left in the data directory is not used. */
  readonly prefix: string;
  /** Where the configuration was read, for what of it is read again; null: nowhere. */
  readonly file?: { readonly path: string; readonly env: Readonly<Record<string, string | undefined>> } | null;
  readonly host: string;
  readonly port: number;
  /** How a stop goes, ms: new calls are served on while readiness is down, then running ones may finish; absent: 0 and 8 s. */
  readonly drain?: { readonly lameDuckMs: number; readonly finishMs: number };
  readonly log: Logger;
  readonly metrics: Registry;
  /** Routing or brakes that could not be fetched for so long make the gateway disconnected, ms; absent: 15 s. It serves on. */
  readonly silenceMs?: number;
  readonly connect: () => Promise<LogClient>;
  /** Whose worker this process is: it has the admin port then. Absent: this process is the gateway alone. */
  readonly first?: FirstProcess | null;
}

/** A running gateway. */
export interface Gateway {
  /** Address of its port, for example http://127.0.0.1:8080. */
  readonly url: string;
  /** Address of the admin port; null: there is none. */
  readonly adminUrl: string | null;
  readonly routes: LiveRoutes;
  isReady(): boolean;
  stop(): Promise<void>;
}

/** How long a starting gateway is not ready while it waits for its routing tables; then it serves from its configuration. */
const RESTORE_WAIT_MS = 5_000;
const TICK_MS = 200;
const SILENCE_MS = 15_000;
/** What a stop takes after its calls have finished or were cut, at most: their records are written, and connections closed, ms. */
export const AFTER_DRAIN_MS = 2_000;
/** Of that, for the records. */
const FLUSH_MS = 1_500;
/** Of that, for the records of a gateway that was connected no sooner. */
const CONNECTED_FLUSH_MS = 1_000;
const USUAL_DRAIN = { lameDuckMs: 0, finishMs: 8_000 };

interface Links {
  client: LogClient | null;
  unfollow: () => Promise<void>;
}

/** What a gateway is made of, before it listens: nothing of it waits for Kafka. */
async function partsOf(options: GatewayOptions, startedAtMs: number) {
  const { config, log } = options;
  const metrics = new GatewayMetrics(options.metrics);
  const clock = new EventClock(Date.now, (behindMs) => {
    metrics.clockResyncs.inc();
    log.warn({ behindMs }, "the machine's clock was set back by more than a minute: event times follow it");
  });
  const answers = new AnswerMemory(config.maxAnswerBytesInFlight);
  const upstreams = new Map([...config.upstreams].map(([name, upstream]) => [name, new Upstream(upstream, answers)]));
  const unwatchSecrets = watchSecrets(upstreams, log);
  const { maxInFlight, maxBodyBytesInFlight, uploads: limits } = config;
  const inFlight = new InFlight(maxInFlight, maxBodyBytesInFlight, (maxBodyBytesInFlight * limits.callerSharePercent) / 100);
  const uploads = new Uploads(limits);
  const { records, disk } = await openLog(options, clock, metrics);
  const routes = new LiveRoutes({
    configured: config.routes,
    defaults: config.defaults,
    isKnownUpstream: (name) => upstreams.has(name),
    log,
    nowMs: steadyNowMs,
    onRefusal: (route) => metrics.refusedTables.inc({ route }),
  });
  const { instance, prefix } = options;
  const snapshot = new SnapshotKeeper({ directory: config.data, instance, prefix, routes, log, onFailure: () => metrics.snapshotFailures.inc() });
  snapshot.restore(startedAtMs);
  routes.onChange(() => snapshot.changed());
  const recorder = new Recorder({ records: config.log.off ? noCallLog : records, metrics, log });
  const checkWhole = wholeChecker(
    (route) => routes.effective(route)?.routeTable.table.schemaCheck,
    schemaForms(checkCompilers((about) => log.warn(about, "a schema or pattern takes too long: answers of it are not checked"))),
  );
  const mirror = new Mirror({ upstreams, routes, recorder, log, clock, metrics, limits: config.shadow, checkWhole });
  const conversations = new Conversations(config.conversations);
  const serve = new Serve({ ...options, upstreams, routes, conversations, inFlight, uploads, recorder, mirror, checkWhole, clock, metrics });
  const file = watchedFile(options, serve, metrics);
  const unwatch = () => {
    unwatchSecrets();
    file.unwatch();
  };
  const writer = new BrakeWriter(routes, log);
  const intake = new OutcomeIntake({ tokens: options.tokens, routes, metrics, log, config, inFlight, uploads });
  const desk = new BrakeDesk({ routes, snapshot, writer, log });
  return { metrics, answers, upstreams, file, unwatch, inFlight, uploads, records, disk, routes, snapshot, mirror, conversations, serve, intake, writer, desk };
}
type Parts = Awaited<ReturnType<typeof partsOf>>;

/**
 * Starts a gateway. It serves as soon as this resolves, with or without the log: that is connected in the background.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log, instance } = options;
  const startedAtMs = Date.now();
  const links: Links = { client: null, unfollow: async () => undefined };
  let leaving = false;
  let stopping = false;
  let restored = false;
  const parts = await partsOf(options, startedAtMs);
  const { metrics, upstreams, unwatch, inFlight, uploads, records, disk, routes, snapshot, mirror, serve, intake, writer } = parts;
  const isReady = () => !leaving && (restored || Date.now() - startedAtMs > RESTORE_WAIT_MS);
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  const isConnected = () => restored && steadyNowMs() - routes.freshAtMs() <= silenceMs;
  const status = () => ({
    ready: isReady(),
    connected: isConnected(),
    stopping: leaving,
    ...statusOf(parts, { connection: isConnected() ? "heard" : restored ? "lost" : "none", hasAdminPort: options.admin !== null }),
  });
  const server = gatewayServer({
    serve,
    intake,
    metrics: options.metrics,
    routes: () => routes.names(),
    readiness: status,
    isLeaving: () => leaving,
    isStopping: () => stopping,
    startedAtMs,
    log,
    onRejected: (code) => metrics.rejected.inc({ code }),
  });
  let url = "";
  const statusForAdmin = async () => {
    const now = status();
    const asked = await askedRemarks(upstreams.values(), { ...options, spooledBytes: now.log.spooledBytes });
    return { instance, url, ...now, remarks: [...now.remarks, ...asked] };
  };
  const admin = await openAdmin(options, parts, statusForAdmin);
  if (options.first) await shareConversations(parts.conversations, options.first, { ...config.conversations, log });
  url = await listen(server, options, "HEADGATE_GATEWAY_PORT and HEADGATE_GATEWAY_HOST");
  observe(parts, isConnected);

  const fleet = fleetReporter(options, { url, routes, records, upstreams: [...upstreams.keys()], isStopping: () => leaving });
  routes.onChange(() => {
    mirror.review();
    fleet.changed();
  });
  const ticks = setInterval(() => {
    records.tick();
    uploads.review();
    writer.tick();
    snapshot.tick();
    // Staleness comes with time, not with a change.
    mirror.review();
  }, TICK_MS);
  const connection = connectInBackground(
    () => connectOnce(options, { links, records, intake, disk, routes, fleet, writer, onRestored: () => (restored = true) }),
    {
      log,
    },
  );
  if (config.log.off) log.warn("log: off: no call is recorded, so no rollout on these routes has evidence from this gateway");
  log.info({ url, routes: routes.names(), upstreams: [...upstreams.keys()] }, "gateway listens");

  const stop = async (): Promise<void> => {
    const { lameDuckMs, finishMs } = options.drain ?? USUAL_DRAIN;
    leaving = true;
    fleet.changed();
    if (lameDuckMs > 0) await sleep(lameDuckMs);
    stopping = true;
    mirror.stop();
    server.close();
    server.closeIdleConnections();
    const cutAtMs = Date.now() + finishMs;
    await inFlight.idle(cutAtMs);
    serve.abortAll();
    // What was cut off is recorded by its own call, a moment later.
    await inFlight.idle(cutAtMs + 500);
    server.closeAllConnections();
    admin?.close();
    clearInterval(ticks);
    unwatch();
    const settling = settle(connection, { records, intake, disk, fleet, links, deadlineMs: cutAtMs + FLUSH_MS });
    const ended = await Promise.allSettled([settling, snapshot.close(), ...[...upstreams.values()].map((upstream) => upstream.close())]);
    for (const each of ended) if (each.status === "rejected") log.error({ err: each.reason }, "a part of the gateway did not stop cleanly");
  };
  let stopped: Promise<void> | null = null;
  return { url, adminUrl: admin?.url ?? null, routes, isReady, stop: () => (stopped ??= stop()) };
}

/** Has the metrics show the state of the parts. */
function observe({ metrics, answers, routes, records, disk, inFlight, uploads, mirror, snapshot }: Parts, isConnected: () => boolean): void {
  const [shadowsInFlight, snapshotState] = [() => mirror.inFlight, () => snapshot.state];
  metrics.observe({ routes, log: records, disk, inFlight, answers, uploads, shadowsInFlight, isConnected, snapshot: snapshotState });
}

/** The admin port, before calls are served: one of several processes first hears there what was braked. null: there is none, or it is not ours. */
async function openAdmin(
  { admin, first, instance, log }: GatewayOptions,
  { routes, desk }: Parts,
  status: () => Promise<{ readonly instance: string }>,
): Promise<Admin | null> {
  if (admin === null) return null;
  if (first) {
    await joinCrew(first, { desk, routes, status });
    return null;
  }
  const brake = async (asked: AskedBrake) => ({ ...desk.brake(asked), gateway: instance, obeyed: true, kept: await desk.keep() });
  return startAdmin(admin, { status, brake }, log);
}

/** What `/readyz` and the admin port show of a gateway's state. */
function statusOf({ routes, records, disk, snapshot, file }: Parts, about: Pick<Condition, "connection" | "hasAdminPort">) {
  const [states, spooledBytes, dropped] = [routes.states(), disk.usedBytes(), records.dropped];
  const problems = { spoolProblem: disk.problem ?? records.spoolProblem, fileProblem: file.problem() };
  return {
    routes: states.map((state) => ({ ...state, braked: routes.isBraked(state.route) })),
    brakes: { all: routes.isBraked("*"), unwritten: routes.unwrittenBrakes.length },
    freshAtMs: wallOf(routes.freshAtMs()),
    log: { queuedRecords: records.queuedRecords, spooledBytes, droppedRecords: dropped },
    snapshot: snapshot.state,
    remarks: remarksOf({ ...about, snapshot: snapshot.state, routes: states, outdated: routes.outdated(), dropped, spooledBytes, ...problems }),
  };
}

/** Follows the callers of the gateway's file. `problem`: why it cannot be used as it is now; null: it can. */
function watchedFile({ file = null, config, log }: GatewayOptions, { callers }: Serve, metrics: GatewayMetrics) {
  let refused: string | null = null;
  const problem = () => refused;
  if (file === null) return { problem, unwatch: () => undefined };
  const unwatch = watchCallers({
    path: file.path,
    parse: (text) => parseGatewayFile(file.path, text, file.env).callers,
    started: config.callers,
    callers,
    log,
    onLook: (about) => {
      refused = about.problem;
      metrics.fileRefused.set(Number(refused !== null));
    },
  });
  return { problem, unwatch };
}

/** The way of records into Kafka: memory, and disk where there is a directory. */
async function openLog(
  { config, log, instance, prefix }: GatewayOptions,
  clock: EventClock,
  metrics: GatewayMetrics,
): Promise<{ records: RequestLog; disk: DiskLog }> {
  const onDrop = (reason: DropReason, count: number) => metrics.dropped.inc({ reason }, count);
  const { off, spoolMaxBytes, ...memory } = config.log;
  const disk = await openDiskLog({ data: off ? null : config.data, instance, prefix, maxBytes: spoolMaxBytes, log, metrics, onDrop });
  const records = new RequestLog({
    instance,
    clock,
    log,
    ...memory,
    spool: disk.spool,
    onDrop,
    onAppendFailure: () => metrics.appendFailures.inc(),
    onSpoolFailure: () => metrics.spoolFailures.inc(),
    onReplay: (count) => metrics.replayed.inc(count),
  });
  return { records, disk };
}

/** Tells the fleet what this gateway serves. */
function fleetReporter(
  { instance, log }: GatewayOptions,
  about: {
    readonly url: string;
    readonly routes: LiveRoutes;
    readonly records: RequestLog;
    readonly upstreams: readonly string[];
    readonly isStopping: () => boolean;
  },
): FleetReporter {
  const { url, routes, records, upstreams, isStopping } = about;
  return new FleetReporter(
    () => ({
      instance,
      role: "gateway",
      url,
      atMs: Date.now(),
      routes: routes.states().map(({ route, epoch, isStatic }) => ({ route, epoch, braked: routes.isBraked(route), static: isStatic })),
      upstreams: [...upstreams],
      droppedRecords: records.dropped,
      stopping: isStopping(),
    }),
    log,
  );
}

async function connectOnce(
  options: GatewayOptions,
  to: {
    links: Links;
    records: RequestLog;
    intake: OutcomeIntake;
    disk: DiskLog;
    routes: LiveRoutes;
    fleet: FleetReporter;
    writer: BrakeWriter;
    onRestored: () => void;
  },
): Promise<void> {
  to.links.client ??= await options.connect();
  const client = to.links.client;
  // Records first: what waits is written while tables are restored.
  if (!to.records.isConnected && !options.config.log.off) {
    const partitionOf = (subject: string) => client.partitionFor(requests, subject);
    const destination = { appender: client.openAppender(), partitions: client.partitionsOf(requests), partitionOf };
    to.records.connect(destination);
    to.disk.connect(destination);
  }
  to.intake.connect(client);
  to.links.unfollow = await followTables(client, to.routes);
  to.onRestored();
  to.fleet.connect(client.openAppender());
  to.writer.connect(client.openAppender());
}

/** Writes what is left, says goodbye and closes the connection, all before the deadline. */
async function settle(
  connection: BackgroundConnection,
  {
    records,
    intake,
    disk,
    fleet,
    links,
    deadlineMs,
  }: { records: RequestLog; intake: OutcomeIntake; disk: DiskLog; fleet: FleetReporter; links: Links; deadlineMs: number },
): Promise<void> {
  const within = <T>(work: Promise<T>, extraMs: number) => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, deadlineMs + extraMs - Date.now()));
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  };
  const ended = connection.stop();
  // A gateway that has just started may be connecting at this moment. What waits for that in memory alone would be lost.
  if (!records.isConnected && records.queuedRecords > 0 && disk.spool === null) await within(ended, -CONNECTED_FLUSH_MS);
  const diskEnded = disk.stop();
  await records.stop(deadlineMs);
  await within(Promise.allSettled([diskEnded, intake.stop()]), 100);
  await fleet.stop(deadlineMs + 200);
  await within(ended, 200);
  await within(Promise.allSettled([links.unfollow(), links.client?.close()]), 400);
}
