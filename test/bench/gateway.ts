import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contender, checkAnswers, requestsFor } from "./gateway/contender.ts";
import { type BenchLog, canary, publish, startHeadgate, startLog } from "./gateway/headgate.ts";
import type { LoadOrder, LoadResult } from "./gateway/load.ts";
import { peers } from "./gateway/peers.ts";
import { cpuMsOf, hasEnded, imageFlags, Processes, pinBench, rssOf, type Started, tailOf } from "./gateway/processes.ts";
import { type Measured, type Phase, phases, type Round, resultOf, tableOf } from "./gateway/report.ts";

/**
 * The gateway beside others, in one interleaved run: each round asks each of them for a moment, in an order that moves on, so that what else the
 * machine does falls on all alike. All are up all the time and see the same requests, the same upstream and the same load.
 *
 *   --rounds N    rounds (5)
 *   --seconds S   of each measurement: calls, streams, and calls and streams at 100 a second (2)
 *   --only A,B    only these, of direct, bare, headgate, headgate_no_log, portkey, tensorzero, litellm
 *   --soak N      then N more calls of each of ours, streams and others in turns, and the resident memory after each tenth (0)
 *   --profile     with --only headgate or headgate_no_log: its processor profile, into the current directory
 *
 * The load generator is our own, on bare sockets: it shares its core with the upstream and the broker, so it must cost little; and it
 * measures the first byte of a stream. Last line of stdout: JSON, the medians of the rounds, of calls without a stream.
 */
const CONNECTIONS = 16;
const QUIET_RATE = 100;
/** For each contender and kind of call: what runs for days is compiled, and after 5,000 calls a gateway of much code is half as fast as after 30,000. */
const WARM_UP_CALLS = 30_000;
const WARM_UP_MS = 12_000;
const everybody = ["direct", "bare", "headgate", "headgate_no_log", ...Object.keys(peers)];

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    only: { type: "string", default: everybody.join() },
    soak: { type: "string", default: "0" },
    profile: { type: "boolean", default: false },
  },
});
const [rounds, seconds] = [Number(flags.rounds), Number(flags.seconds)];
const wanted = everybody.filter((name) => flags.only.split(",").includes(name));
const isHeadgate = (name: string) => name.startsWith("headgate");

async function ask(load: Started, order: LoadOrder): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error(`the load generator ended:\n${tailOf(load)}`));
    if (hasEnded(load)) return onExit();
    load.process.once("exit", onExit);
    load.process.once("message", (result) => {
      load.process.off("exit", onExit);
      resolve(result as LoadResult);
    });
    load.process.send(order);
  });
}

/** One phase of one contender. */
async function measure(load: Started, contender: Contender, phase: Phase, forSeconds: number): Promise<Measured> {
  const rate = phase.isQuiet ? QUIET_RATE : 0;
  const { started } = contender;
  const cpuBeforeMs = started === null ? Number.NaN : cpuMsOf(started);
  const result = await ask(load, {
    port: contender.port,
    requests: requestsFor(contender, phase.isStream),
    connections: CONNECTIONS,
    seconds: forSeconds,
    rate,
  });
  // With what it put off.
  await contender.settle();
  const cpuMs = started === null ? Number.NaN : cpuMsOf(started) - cpuBeforeMs;
  return { ...result, cpuUs: (cpuMs * 1000) / (result.answered + result.failed) };
}

async function startOne(name: string, place: { processes: Processes; upstreamPort: number; directory: string; log: BenchLog | null }): Promise<Contender> {
  const plain = { path: "/v1/chat/completions", model: "bench-model", headers: {}, settle: async () => undefined, remark: async () => "" };
  if (name === "direct") return { name, port: place.upstreamPort, started: null, ...plain };
  if (name === "bare") {
    const started = place.processes.node(name, "test/bench/gateway/bare.ts", {
      on: "proxy",
      args: [`http://127.0.0.1:${place.upstreamPort}`],
      flags: imageFlags,
    });
    return { name, port: await place.processes.portOf(started), started, ...plain };
  }
  const peer = peers[name];
  if (peer !== undefined) return peer(place);
  if (place.log === null) throw new Error("there is no log");
  const profile = flags.profile ? ["--cpu-prof", `--cpu-prof-name=${name}.cpuprofile`, `--cpu-prof-dir=${process.cwd()}`] : [];
  return startHeadgate(name, { ...place, log: place.log, isLogging: name === "headgate", flags: [...imageFlags, ...profile] });
}

/** Starts who can be started; the others are named. */
async function startAll(place: Parameters<typeof startOne>[1]): Promise<{ contenders: Contender[]; absent: string[] }> {
  const contenders: Contender[] = [];
  const absent: string[] = [];
  for (const name of wanted) {
    try {
      const contender = await startOne(name, place);
      await checkAnswers(contender);
      contenders.push(contender);
      process.stderr.write(`${name} is up\n`);
    } catch (error) {
      if (peers[name] === undefined) throw error;
      absent.push(`${name}: ${(error as Error).message}`);
    }
  }
  return { contenders, absent };
}

/** What is compiled while it runs must be compiled before it is measured. */
async function warmUp(load: Started, contender: Contender): Promise<void> {
  for (const phase of phases.filter(({ isQuiet }) => !isQuiet)) {
    const endsAt = performance.now() + WARM_UP_MS;
    for (let calls = 0; calls < WARM_UP_CALLS && performance.now() < endsAt; ) calls += (await measure(load, contender, phase, 0.5)).answered;
  }
}

const TENTHS = 10;

/** Memory of a contender over many calls, streams and others for a second in turns; @returns MiB after each tenth, in words */
async function soak(load: Started, contender: Contender, calls: number): Promise<string> {
  const { started, name } = contender;
  if (started === null) return "";
  const mib: string[] = [];
  let [answered, failed] = [0, 0];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    while (answered < (calls * tenth) / TENTHS) {
      for (const phase of phases.filter(({ isQuiet }) => !isQuiet)) {
        const result = await measure(load, contender, phase, 1);
        answered += result.answered;
        failed += result.failed;
      }
    }
    mib.push(rssOf(started).toFixed(0));
    process.stderr.write(`${name}: ${answered} calls, ${mib.at(-1)} MiB\n`);
  }
  return `${name}: resident memory over ${answered} calls and streams (${failed} failed), MiB after each tenth: ${mib.join(" ")}`;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "headgate-bench-"));
  const pinned = pinBench();
  const processes = new Processes(directory);
  let log: BenchLog | null = null;
  if (wanted.some(isHeadgate)) {
    log = await startLog();
    await publish(log.client, canary(1));
  }
  const upstream = processes.node("upstream", "test/bench/gateway/upstream.ts");
  const upstreamPort = await processes.portOf(upstream);
  const load = processes.node("load", "test/bench/gateway/load.ts");
  const { contenders, absent } = await startAll({ processes, upstreamPort, directory, log });

  for (const contender of contenders) await warmUp(load, contender);
  const measured: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round) % contenders.length];
      if (contender === undefined) continue;
      for (const phase of phases) measured.push({ name: contender.name, phase: phase.name, result: await measure(load, contender, phase, seconds) });
    }
    const rps = contenders.map(({ name }) => `${name} ${measured.findLast((one) => one.name === name && one.phase === "calls")?.result.rps.toFixed(0)}`);
    process.stderr.write(`round ${round + 1}: ${rps.join(", ")} requests/s\n`);
  }
  const rss = new Map(contenders.flatMap(({ name, started }) => (started === null ? [] : [[name, rssOf(started)] as const])));
  const soaked: string[] = [];
  if (Number(flags.soak) > 0)
    for (const contender of contenders.filter(({ name }) => isHeadgate(name))) soaked.push(await soak(load, contender, Number(flags.soak)));
  const remarks = (await Promise.all(contenders.map((contender) => contender.remark()))).filter((remark) => remark !== "");
  await processes.stopAll();
  await log?.close();
  rmSync(directory, { recursive: true, force: true });

  console.log(`${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s, node ${process.version}; ${pinned}\n`);
  console.log(
    tableOf(
      contenders.map(({ name }) => name),
      measured,
      rss,
    ),
  );
  for (const remark of [...soaked, ...remarks, ...absent.map((why) => `absent: ${why}`)]) console.log(remark);
  const failed = measured.filter(({ result }) => result.failed > 0);
  for (const { name, phase, result } of failed) console.log(`${name}: ${result.failed} of ${result.failed + result.answered} ${phase} failed in one round`);
  console.log(
    JSON.stringify(
      resultOf(
        contenders.map(({ name }) => name),
        measured,
      ),
    ),
  );
}

await main();
