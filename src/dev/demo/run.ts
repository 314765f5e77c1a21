import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { stringify } from "yaml";
import { connectLog } from "../../runtime/log-client.ts";
import type { LogClient } from "../../runtime/port.ts";
import { applyTopics, deletePrefix } from "../../runtime/topic-admin.ts";
import { startCluster } from "../cluster/start-cluster.ts";
import { burstyArrivals, recordedArrivals } from "./arrivals.ts";
import { endingOf, Observer, observedFields, observedTopics, rowOf, type Seen } from "./observe.ts";
import { Pace } from "./pace.ts";
import { Children, freePort, waitForOk } from "./processes.ts";
import { seeded } from "./random.ts";
import { turnPath } from "./replay-upstream.ts";
import { type Story, upstreamName } from "./stories.ts";
import { Traffic } from "./traffic.ts";
import { eventLine, evidenceLines, finalTable, liveLines, settingsOf } from "./view.ts";

/** The judge of the demo is wrong in this share of its calls, independently. */
const judgeErrorRate = 0.05;
/** Longest wait for the last answered calls to arrive in the topic, ms. */
const logDeadlineMs = 15_000;
/** Calls per route that are answered before the first rollout of a story is applied. */
const warmUpCalls = 100;
/** Seconds in a row in which no record was late, before that; and how long that is waited for, ms. */
const settledS = 4;
const warmUpDeadlineMs = 90_000;
/** Recorded latencies are divided by this. */
const latencyFactor = 4;

export interface DemoOptions {
  readonly stories: readonly Story[];
  readonly seed: number;
  /** Where the calls file is and the logs go. */
  readonly directory: string;
  readonly recorded: boolean;
  readonly keep: boolean;
  readonly json: boolean;
  /** The stories must have ended by then, counted from the first rollout. */
  readonly deadlineS: number;
  readonly arrivalTimes?: readonly number[];
  /** Environment of the judge role when a real endpoint judges; absent: the local one that knows the truth. */
  readonly realJudge?: Readonly<Record<string, string>>;
}

interface Addresses {
  readonly upstream: string;
  readonly gateway: string;
  readonly control: string;
}

/** Runs the whole system on real traffic and says whether every story ended as the truth demands. */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const say = (line: string) => (options.json ? console.error(line) : console.log(line));
  announce(options, say);
  const startedAtMs = Date.now();
  const failures: string[] = [];
  const children = new Children(options.directory, (child, how) => failures.push(`${child.name} ended: ${how}`));
  const alive = () => {
    if (failures.length > 0) throw new Error(`${failures.join("; ")}\n${children.tail(failures[0]?.split(" ")[0] ?? "")}\nlogs: ${options.directory}`);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => failures.push(`demo was interrupted by ${signal}`));
  const cluster = await startCluster({ say });
  const prefix = `hgdemo-${randomBytes(4).toString("hex")}.`;
  const connection = { brokers: cluster.brokers, registryUrl: cluster.registryUrl, prefix };
  const log = pino({ level: "warn" }, pino.destination(join(options.directory, "demo.log")));
  let client: LogClient | undefined;
  const traffic: Traffic[] = [];
  const pace = new Pace();
  const pacing = setInterval(() => {
    const before = pace.slowest;
    pace.adjust(Date.now());
    if (pace.slowest < before) say(`${since(startedAtMs)}  records are late on this machine: callers go at ${(100 * pace.factor).toFixed(0)} %`);
  }, 1000);
  try {
    await applyTopics({ ...connection, partitions: "small", log });
    say(`${since(startedAtMs)} Kafka and schema registry up (${cluster.kind}), topics created under ${prefix}`);
    const addresses = await startRoles(options, children, connection, alive);
    const reader = await connectLog({ ...connection, clientId: "demo", log });
    client = reader;
    const observer = new Observer(
      options.stories,
      (seen, event) => {
        say(eventLine(seen, event, startedAtMs));
        if (event.action === "rolled_back" || event.action === "frozen" || event.action === "drifted") for (const line of evidenceLines(event)) say(line);
      },
      (topic, ageMs) => pace.saw(topic, ageMs),
    );
    reader.follow(observedTopics, { from: "beginning", fields: observedFields, onRecord: (record) => observer.take(record) });
    say(`${since(startedAtMs)} roles up: gateway ${addresses.gateway}, control ${addresses.control}`);
    await warmUp(options, { addresses, pace, alive, say: (line) => say(`${since(startedAtMs)} ${line}`) }, () => {
      traffic.push(...startTraffic(options.stories, options, addresses, pace));
      return traffic;
    });
    await applySpecs(options.stories, addresses, say);
    await watch(options, { observer, traffic, pace, startedAtMs, alive, turn: (seen) => turn(seen, addresses, say, startedAtMs) });
    if (!options.keep) await Promise.all(traffic.map((callers) => callers.stop()));
    await allLogged(observer, traffic);
    const rows = [...observer.seen.values()].map(rowOf);
    const seconds = (Date.now() - startedAtMs) / 1000;
    if (options.json) console.log(JSON.stringify({ ok: rows.every((row) => row.right), seed: options.seed, seconds, stories: rows }));
    else summary(rows, traffic, pace, seconds);
    alive();
    if (options.keep) await keepUp(addresses, cluster, say);
    return rows.every((row) => row.right);
  } finally {
    clearInterval(pacing);
    await Promise.all(traffic.map((callers) => callers.stop()));
    await children.stopAll();
    await client?.close();
    if (cluster.kind === "external") await deletePrefix({ ...connection, log });
    await cluster.stop();
  }
}

const since = (startedAtMs: number) => `${((Date.now() - startedAtMs) / 1000).toFixed(1)} s`.padStart(8);

function announce(options: DemoOptions, say: (line: string) => void): void {
  say(`headgate demo, seed ${options.seed}: ${options.stories.length} routes at the same time on ${options.recorded ? "recorded" : "built-in"} traffic`);
  say(
    `Latencies are replayed divided by ${latencyFactor}; the local judge is wrong in ${100 * judgeErrorRate} % of its calls. Settings that differ from the defaults:`,
  );
  for (const story of options.stories) for (const line of settingsOf(story)) say(`  ${line}`);
}

async function startRoles(
  options: DemoOptions,
  children: Children,
  connection: { readonly brokers: readonly string[]; readonly registryUrl: string; readonly prefix: string },
  alive: () => void,
): Promise<Addresses> {
  const calls = join(options.directory, "calls.jsonl");
  const seed = ["--seed", String(options.seed)];
  const truth = options.recorded ? ["--calls", calls] : [];
  const [upstream, judge] = await Promise.all([
    children.endpoint("upstream", "src/dev/demo/replay-upstream.ts", ["--calls", calls, "--factor", String(latencyFactor), ...seed]),
    options.realJudge
      ? undefined
      : children.endpoint("judge-endpoint", "src/dev/demo/judge-endpoint.ts", [...truth, "--error-rate", String(judgeErrorRate), ...seed]),
  ]);
  const [gatewayPort, controlPort] = [await freePort(), await freePort()];
  const gatewayConfig = join(options.directory, "gateway.yaml");
  await writeFile(gatewayConfig, stringify(gatewayConfiguration([...options.stories, warmUpStory(options)], upstream)));
  const shared = {
    KAFKA_BROKERS: connection.brokers.join(","),
    SCHEMA_REGISTRY_URL: connection.registryUrl,
    HEADGATE_PREFIX: connection.prefix,
    LOG_LEVEL: "info",
  };
  const role = (name: string, env: Readonly<Record<string, string>> = {}) => children.start(name, "src/cli/main.ts", [name], { ...shared, ...env });
  // As in an installation: answers carry outcome tokens, which the aggregator can open.
  const tokens = { HEADGATE_TOKEN_KEY: randomBytes(32).toString("hex") };
  role("gateway", { ...tokens, HEADGATE_GATEWAY_CONFIG: gatewayConfig, HEADGATE_GATEWAY_PORT: String(gatewayPort), HEADGATE_SUBJECT_KEY: "demo" });
  role("sampler");
  // The noisy judge must err anew in each call: its answers are not remembered.
  const localJudge = { HEADGATE_JUDGE_BASE_URL: judge ?? "", HEADGATE_JUDGE_API_KEY: "none", HEADGATE_JUDGE_MODEL: "demo-judge", HEADGATE_JUDGE_CACHE: "0" };
  role("judge", options.realJudge ?? localJudge);
  role("aggregator", tokens);
  role("decider");
  role("control", { HEADGATE_CONTROL_PORT: String(controlPort) });
  if (options.stories.some(({ spec }) => spec.golden !== undefined)) {
    role("prober", { HEADGATE_PROBER_GATEWAY_URL: `http://127.0.0.1:${gatewayPort}/v1`, HEADGATE_PROBER_CALLS_PER_HOUR: "100000" });
  }
  const addresses = { upstream, gateway: `http://127.0.0.1:${gatewayPort}`, control: `http://127.0.0.1:${controlPort}` };
  await waitForOk(`${addresses.gateway}/readyz`, 60_000, alive);
  await waitForOk(`${addresses.control}/readyz`, 60_000, alive);
  return addresses;
}

/** The gateway's own file: where upstreams are, and who serves each route before any rollout. */
export function gatewayConfiguration(stories: readonly Story[], upstreamUrl: string): object {
  return {
    upstreams: { [upstreamName]: { baseUrl: upstreamUrl } },
    routes: Object.fromEntries(
      stories.map((story) => [story.route, { baseline: { version: story.baseline, upstream: upstreamName, model: story.baseline }, bodies: "full" }]),
    ),
  };
}

function startTraffic(stories: readonly Story[], options: DemoOptions, addresses: Addresses, pace: Pace): Traffic[] {
  return stories.map((story, index) => {
    const random = seeded(options.seed * 1009 + index);
    const arrivals = options.arrivalTimes ? recordedArrivals(options.arrivalTimes, story.callsPerSecond) : burstyArrivals(random, story.callsPerSecond);
    const callers = new Traffic({
      gateways: [`${addresses.gateway}/v1`],
      route: story.route,
      prompts: story.prompts,
      arrivals,
      random,
      users: 2000,
      streamShare: 0.3,
      pace: () => pace.factor,
    });
    callers.start();
    return callers;
  });
}

/** A rollout on a route of its own, which is no story: it has every role work before the first comparison. */
function warmUpStory({ stories }: DemoOptions): Story {
  const first = stories.find(({ spec }) => spec.judge !== undefined && spec.shadow?.share !== 0) ?? stories[0];
  if (first === undefined) throw new Error("a demo without stories");
  const route = "warm-up";
  return { ...first, title: route, route, spec: { ...first.spec, route }, callsPerSecond: 20 };
}

interface WarmUp {
  readonly addresses: Addresses;
  readonly pace: Pace;
  readonly alive: () => void;
  readonly say: (line: string) => void;
}

/**
 * Lets callers and roles run warm before the first comparison, so that the cold start of the processes is in nobody's latency, and no judge comes too late
 * because it has only just begun: what stays unscored in the first seconds of a rollout withholds proof from it for long.
 */
async function warmUp(options: DemoOptions, { addresses, pace, alive, say }: WarmUp, startStories: () => readonly Traffic[]): Promise<void> {
  const story = warmUpStory(options);
  const [callers] = startTraffic([story], options, addresses, pace);
  await applySpecs([story], addresses, say);
  const traffic = startStories();
  const until = Date.now() + warmUpDeadlineMs;
  const isWarm = () => traffic.every(({ answered }) => answered >= warmUpCalls) && pace.settledFor >= settledS;
  while (!isWarm() && Date.now() < until) {
    alive();
    await sleep(100);
  }
  await callers?.stop();
  await post(`${addresses.control}/v1/routes/${story.route}/rollback`, { actor: "demo", reason: "warm" });
  say(isWarm() ? "everything is warm" : `records are still late after ${warmUpDeadlineMs / 1000} s: this machine is slow, and the stories will be`);
}

async function post(url: string, body: object): Promise<void> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url} refused: ${response.status} ${await response.text()}`);
}

/** Declares the rollouts through the control API, as a user would. */
async function applySpecs(stories: readonly Story[], { control }: Addresses, say: (line: string) => void): Promise<void> {
  for (const { spec } of stories) {
    await post(`${control}/v1/rollouts`, { spec, actor: "demo" });
    say(`         applied the rollout of ${spec.route}`);
  }
}

interface Watching {
  readonly observer: Observer;
  readonly traffic: readonly Traffic[];
  readonly pace: Pace;
  readonly startedAtMs: number;
  readonly alive: () => void;
  readonly turn: (seen: Seen) => Promise<void>;
}

async function watch(options: DemoOptions, { observer, traffic, pace, startedAtMs, alive, turn }: Watching): Promise<void> {
  const live = process.stdout.isTTY === true && !options.json;
  const until = Date.now() + options.deadlineS * 1000;
  let drawn = 0;
  while (Date.now() < until) {
    alive();
    const all = [...observer.seen.values()];
    if (all.every((seen) => endingOf(seen) !== undefined)) return;
    for (const seen of all.filter(isDueToTurn)) await turn(seen);
    if (live) {
      const sent = traffic.reduce((sum, callers) => sum + callers.sent, 0);
      const lines = liveLines(all, { elapsedS: (Date.now() - startedAtMs) / 1000, sent, pace: pace.factor });
      process.stdout.write(`${lines.map((line) => `\x1b[2K${line}`).join("\n")}\n\x1b[${lines.length}A`);
      drawn = lines.length;
    }
    await sleep(500);
  }
  if (drawn > 0) process.stdout.write("\n".repeat(drawn));
}

/** The provider changes a model once no rollout runs, and what serves is watched: reference and golden prompts are taken. */
function isDueToTurn({ story, state, turnedAtMs }: Seen): boolean {
  return (
    story.turn !== undefined && turnedAtMs === undefined && state?.phase === "done" && state.watch?.standing === "watched" && state.watch.golden === "passing"
  );
}

async function turn(seen: Seen, { upstream }: Addresses, say: (line: string) => void, startedAtMs: number): Promise<void> {
  seen.turnedAtMs = Date.now();
  await post(new URL(turnPath, upstream).href, seen.story.turn ?? {});
  say(`${since(startedAtMs)}  ${seen.story.route}: the provider now answers ${seen.story.candidate} as ${seen.story.turn?.becomes}; no rollout runs`);
}

/** Waits until every answered call has been read from the topic, so that the table misses none; a lost one shows as the end of the wait. */
async function allLogged(observer: Observer, traffic: readonly Traffic[]): Promise<void> {
  const answered = traffic.reduce((sum, callers) => sum + callers.answered, 0);
  const until = Date.now() + logDeadlineMs;
  while (observer.servedCalls() < answered && Date.now() < until) await sleep(100);
}

async function keepUp(
  addresses: Addresses,
  cluster: { readonly brokers: readonly string[]; readonly registryUrl: string },
  say: (line: string) => void,
): Promise<void> {
  say(
    `Left up until Ctrl-C: gateway ${addresses.gateway}/v1, control ${addresses.control}, Kafka ${cluster.brokers.join(",")}, registry ${cluster.registryUrl}`,
  );
  await new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
}

function summary(rows: readonly ReturnType<typeof rowOf>[], traffic: readonly Traffic[], pace: Pace, seconds: number): void {
  console.log(`\n${finalTable(rows)}\n`);
  for (const row of rows) {
    const calls = Object.entries(row.calls).map(([key, count]) => `${key} ${count}`);
    console.log(`  ${row.route}: ${row.why}\n    calls in the topic: ${calls.join(", ")}`);
  }
  const sum = (pick: (callers: Traffic) => number) => traffic.reduce((total, callers) => total + pick(callers), 0);
  console.log(`\n${sum((t) => t.sent)} calls sent, ${sum((t) => t.answered)} answered, ${sum((t) => t.failed)} failed, in ${seconds.toFixed(0)} s`);
  console.log(`Callers went at ${(100 * pace.slowest).toFixed(0)} % of the stories' rates at the slowest, so that the judge kept up on this machine.`);
  console.log(rows.every((row) => row.right) ? "All stories ended as the truth demands." : "NOT all stories ended as the truth demands.");
}
