import { parentPort, workerData } from "node:worker_threads";
import { type DoneMessage, prepare, runTask, type TaskMessage, type WorkerSetup } from "./run-rollouts.ts";

/** A thread that simulates rollouts: a task in, its outcomes out, until it is terminated. */
const prepared = prepare(workerData as WorkerSetup);
parentPort?.on("message", ({ index, task }: TaskMessage) => {
  parentPort?.postMessage({ index, outcomes: runTask(prepared, task) } satisfies DoneMessage);
});
