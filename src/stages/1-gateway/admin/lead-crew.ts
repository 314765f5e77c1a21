import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Brake } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";
import type { Crew, CrewAnswer } from "../../../runtime/process/crew.ts";
import type { AskedBrake } from "../routing/brake-here.ts";
import type { AdminDeps } from "./admin-server.ts";
import { type BrakedHere, type Cleared, type CrewQuestion, errorOf, type Obeyed, type WorkerStatus } from "./crew-messages.ts";
import type { Remark } from "./remarks.ts";

/** Longest wait for a worker: to brake, which it does at once, and to keep that on its disk or to probe its upstreams, ms. */
const BRAKE_MS = 2_000;
const KEEP_MS = 5_000;
/** How long a brake waits for a worker to be there, ms. */
const START_MS = 10_000;
const LOOK_MS = 50;

const answered = <T>(answers: readonly CrewAnswer[]): T[] => answers.flatMap((answer) => (answer.kind === "answered" ? [answer.body as T] : []));

/**
 * What the admin port of a gateway of several processes does: it asks all of them. It keeps the brakes that were taken, for workers that start later.
 *
 * @param about `name`: what answers call this gateway; `remarks`: what there is to say of the first process
 */
export function leadCrew(crew: Crew, { name, log, remarks = [], waits = {} }: Lead): CrewLeading {
  const { brakeMs, keepMs, startMs } = { brakeMs: BRAKE_MS, keepMs: KEEP_MS, startMs: START_MS, ...waits };
  /** By route and attempt, so that a repeated brake takes no room. */
  const standing = new Map<string, Brake>();
  crew.welcome(() => ({ brakes: [...standing.values()] }));
  crew.onTold((told) => {
    const all = standing.get(keyOf({ route: "*", rollout: "", attempt: 0 }));
    if (all !== undefined && all.atMs < (told as Cleared).clearedAtMs) standing.delete(keyOf(all));
  });
  const ask = (question: CrewQuestion, waitMs: number) => crew.askAll(question, waitMs);

  /** Each worker brakes what it serves. Again when all who were asked have ended, or none has started: nobody has braked then. */
  const askToBrake = async (asked: AskedBrake): Promise<Brake[]> => {
    for (const end = Date.now() + startMs; ; await sleep(LOOK_MS)) {
      const all = await ask({ kind: "brake", asked }, brakeMs);
      const answers = answered<BrakedHere>(all);
      const braked = answers.flatMap((answer) => ("brake" in answer ? [answer.brake] : []));
      if (braked.length > 0) return braked;
      const [problem] = answers.flatMap((answer) => ("problem" in answer ? [answer.problem] : []));
      // Whoever is silent may brake yet: then it is not true that there is nothing to brake.
      const silent = all.flatMap(({ kind, worker }) => (kind === "silent" ? [worker] : []));
      if (problem !== undefined && silent.length > 0) throw disobedience(crew, silent, brakeMs);
      if (problem !== undefined) throw errorOf(problem);
      if (Date.now() >= end) throw disobedience(crew, crew.members, startMs);
    }
  };

  const brake = async (asked: AskedBrake): Promise<object> => {
    const braked = await askToBrake(asked);
    // Workers may be at different tables, and so at different attempts: each brakes all of them. In one step with the question, so that whoever joins
    // now either hears of them when it joins or is asked.
    for (const one of braked) {
      const known = standing.get(keyOf(one));
      if (known === undefined || known.atMs < one.atMs) standing.set(keyOf(one), one);
    }
    const answers = await ask({ kind: "obey", brakes: braked }, keepMs);
    const silent = answers.flatMap(({ kind, worker }) => (kind === "silent" ? [worker] : []));
    const [youngest, ...others] = braked.toSorted((a, b) => b.attempt - a.attempt || b.atMs - a.atMs);
    log.warn({ route: asked.route, rollout: youngest?.rollout, attempt: youngest?.attempt, others: others.length, silent }, "braked by the admin port");
    if (silent.length > 0) throw disobedience(crew, silent, keepMs);
    const keepers = answered<Obeyed>(answers);
    return { ...youngest, gateway: name, workers: keepers.length, obeyed: true, kept: keepers.length > 0 && keepers.every(({ kept }) => kept) };
  };

  const status = async (): Promise<object> => {
    const { remarks: ofWorkers, ...rest } = statusOf(name, crew.size, await ask({ kind: "status" }, keepMs));
    return { ...rest, remarks: distinct([...ofWorkers, ...remarks]) };
  };
  return { brake, status };
}

export type CrewLeading = Pick<AdminDeps, "brake" | "status">;
interface Lead {
  readonly name: string;
  readonly log: Logger;
  readonly remarks?: readonly Remark[];
  readonly waits?: Partial<Waits>;
}
interface Waits {
  readonly brakeMs: number;
  readonly keepMs: number;
  readonly startMs: number;
}

const keyOf = ({ route, rollout, attempt }: Pick<Brake, "route" | "rollout" | "attempt">): string => JSON.stringify([route, rollout, attempt]);

function disobedience(crew: Crew, silent: readonly number[], waitedMs: number): KnownError {
  const who = silent.length === 0 ? "none of its workers runs" : `worker ${silent.join(", ")} has not answered`;
  return new KnownError("GATEWAY_UNREACHABLE", `not all of this gateway's ${crew.size} workers obey: ${who} within ${waitedMs / 1000} s`, {
    fix: "brake again; if it stays so, restart the gateway: what the others took is kept, and each worker obeys it when it starts",
  });
}

/** One status for all workers; it is as well as the worst of them, which are shown one by one too. */
function statusOf(name: string, size: number, answers: readonly CrewAnswer[]): WorkerStatus & { readonly workers: readonly WorkerStatus[] } {
  const workers = answered<WorkerStatus>(answers);
  const isOfAll = (holds: (worker: WorkerStatus) => boolean) => workers.length === size && workers.every(holds);
  const silent = answers.flatMap(({ kind, worker }) => (kind === "answered" ? [] : [worker]));
  return {
    instance: name,
    url: workers[0]?.url ?? "",
    ready: isOfAll(({ ready }) => ready),
    connected: isOfAll(({ connected }) => connected),
    stopping: workers.some(({ stopping }) => stopping),
    routes: worstRoutes(workers.flatMap(({ routes }) => routes)),
    remarks: [...(workers.length < size ? [missing(workers.length, size, silent)] : []), ...distinct(workers.flatMap(({ remarks }) => remarks))],
    workers,
  };
}

function missing(running: number, size: number, silent: readonly number[]): Remark {
  const which = silent.length === 0 ? "" : `; worker ${silent.join(", ")} runs and does not answer`;
  return {
    level: "error",
    code: "workers_missing",
    message: `${running} of ${size} workers answer${which}`,
    fix: "look at the gateway's log for why workers end; one that starts takes a moment",
  };
}

function distinct(remarks: readonly Remark[]): Remark[] {
  const found: Remark[] = [];
  for (const remark of remarks) if (!found.some((known) => isDeepStrictEqual(known, remark))) found.push(remark);
  return found.toSorted((a, b) => (a.level < b.level ? -1 : Number(a.level > b.level)));
}

/** Of each route what the worker says that has the oldest table of it, or does not obey a brake. */
function worstRoutes(routes: WorkerStatus["routes"]): WorkerStatus["routes"] {
  const worst = new Map<string, WorkerStatus["routes"][number]>();
  for (const state of routes) {
    const known = worst.get(state.route);
    const isWorse = known === undefined || state.epoch < known.epoch || (state.epoch === known.epoch && known.braked && !state.braked);
    if (isWorse) worst.set(state.route, state);
  }
  return [...worst.values()].toSorted((a, b) => (a.route < b.route ? -1 : 1));
}
