import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type AuditSettings, type Effect, type EffectName, type Prepared, prepareAudit, rollouts } from "../../domain/audit/prepare.ts";
import type { AuditCall } from "../../domain/audit/signals.ts";
import type { RolloutOutcome } from "../../domain/audit/simulate.ts";
import type { Outcomes } from "../../domain/audit/summary.ts";

/** Rollouts that one thread simulates at a time. */
export interface Task {
  readonly effect: EffectName | null;
  /** Numbers of the rollouts: each has dice of its own, so that the outcome is the same on any number of threads. */
  readonly streams: readonly number[];
}

/** What a worker thread is started with. */
export interface WorkerSetup {
  readonly calls: readonly AuditCall[];
  readonly settings: AuditSettings;
}

export interface Counts {
  /** Rollouts of an identical model. */
  readonly identical: number;
  /** Rollouts with each harm. */
  readonly perEffect: number;
}

const TASK_ROLLOUTS = 25;
/** Below this a thread would not be worth its start. On a thread even when there is one processor: then Ctrl-C is heard. */
const WORTH_A_THREAD = 100;
/** Streams of the rollouts with each harm begin here, apart from those of the identical model. */
const EFFECT_STREAMS = 1_000_000;

function tasksOf(effects: readonly Effect[], { identical, perEffect }: Counts): Task[] {
  const cut = (effect: EffectName | null, from: number, count: number): Task[] =>
    Array.from({ length: Math.ceil(count / TASK_ROLLOUTS) }, (_, i) => ({
      effect,
      streams: Array.from({ length: Math.min(TASK_ROLLOUTS, count - i * TASK_ROLLOUTS) }, (_unused, j) => from + i * TASK_ROLLOUTS + j),
    }));
  return [...cut(null, 0, identical), ...effects.flatMap(({ name }, i) => cut(name, EFFECT_STREAMS * (i + 1), perEffect))];
}

/** Simulates all rollouts of an audit, on as many threads as there are processors. */
export async function runRollouts(setup: WorkerSetup, prepared: Prepared, counts: Counts, interrupted: AbortSignal): Promise<Outcomes> {
  const tasks = tasksOf(prepared.effects, counts);
  const threads = Math.min(availableParallelism(), Math.floor((counts.identical + counts.perEffect) / WORTH_A_THREAD));
  const found = threads < 1 ? tasks.map((task) => runTask(prepared, task)) : await onThreads(setup, tasks, threads, interrupted);
  const of = (effect: EffectName | null) => tasks.flatMap((task, i) => (task.effect === effect ? (found[i] ?? []) : []));
  return { identical: of(null), effects: prepared.effects.map(({ name }) => of(name)) };
}

export function runTask(prepared: Prepared, { effect, streams }: Task): RolloutOutcome[] {
  return [...rollouts(prepared, effect, streams)];
}

/** A task and what it gave, as threads send them. */
export interface TaskMessage {
  readonly index: number;
  readonly task: Task;
}
export interface DoneMessage {
  readonly index: number;
  readonly outcomes: readonly RolloutOutcome[];
}

/** Ctrl-C or SIGTERM while rollouts were simulated. */
export class Interrupted extends Error {}

async function onThreads(setup: WorkerSetup, tasks: readonly Task[], threads: number, interrupted: AbortSignal): Promise<(readonly RolloutOutcome[])[]> {
  const found: (readonly RolloutOutcome[])[] = [];
  let next = 0;
  const workers: Worker[] = [];
  const runThread = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url), { workerData: setup });
      workers.push(worker);
      const send = () => {
        const index = next++;
        const task = tasks[index];
        if (task === undefined) resolve();
        else worker.postMessage({ index, task } satisfies TaskMessage);
      };
      worker.on("message", ({ index, outcomes }: DoneMessage) => {
        found[index] = outcomes;
        send();
      });
      worker.on("error", reject);
      interrupted.addEventListener("abort", () => reject(new Interrupted()), { once: true });
      send();
    });
  try {
    await Promise.all(Array.from({ length: threads }, runThread));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return found;
}

export const prepare = ({ calls, settings }: WorkerSetup): Prepared => prepareAudit(calls, settings);
