import { Counter } from "prom-client";
import { z } from "zod";
import { aggregates, brakes, commands, fleet, rollouts } from "../../../topics/index.ts";
import { version } from "../../config/version.ts";
import type { LogClient, TaskRole } from "../../runtime/port.ts";
import type { Program, ProgramContext, RunningProgram } from "../../runtime/program.ts";
import { sha256 } from "./read-spec.ts";
import { restore } from "./restore.ts";
import { type DeciderParts, DeciderTask } from "./task.ts";

/** How often time is looked at, ms: dwell, silence and thaw are due to the second. */
const TICK_MS = 1_000;

/** Nothing is configured here: what decides is in each route's spec. */
export const deciderConfiguration = z.object({});

/** The decider role: the one that moves traffic, a pure reducer per route behind one task per partition. */
export const program: Program = { name: "decider", configuration: deciderConfiguration, start };

/**
 * The role over its inputs. `brakes` and `fleet` are tables of the process; a change of a brake wakes every task.
 */
export function decider(log: LogClient, parts: Omit<DeciderParts, "restore" | "partitionFor">): TaskRole {
  const wakes = new Set<() => void>();
  parts.brakes.onChange(() => {
    for (const wake of wakes) wake();
  });
  return {
    name: "decider",
    inputs: [aggregates, commands, rollouts],
    flushEveryMs: TICK_MS,
    flushRecords: 500,
    createTask: (context) => {
      const task = new DeciderTask(context, {
        ...parts,
        restore: () => restore(log, context.partition),
        partitionFor: (topic, key) => log.partitionFor(topic, key),
      });
      wakes.add(context.wake);
      return Object.assign(task, { stop: () => void wakes.delete(context.wake) });
    },
  };
}

async function start(context: ProgramContext): Promise<RunningProgram> {
  const log = await context.connect();
  const decisions = new Counter({
    name: "headgate_decider_decisions_total",
    help: "Gate events published, by action",
    labelNames: ["action"],
    registers: [context.metrics],
  });
  const tables = { brakes: log.openTable(brakes), fleet: log.openTable(fleet) };
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  let isReady = false;
  Promise.all([tables.brakes.ready, tables.fleet.ready]).then(() => {
    isReady = true;
  }, failed.reject);
  const role = decider(log, {
    ...tables,
    deps: { sha256, codeVersion: version },
    onDecision: (decision) => {
      if (decision.kind !== "gate-event") return;
      const { route, rollout, attempt, action, toPhase, toStep, reasons, message, epoch } = decision.event;
      decisions.inc({ action });
      context.log.info({ route, rollout, attempt, action, phase: toPhase, step: toStep, reasons, epoch }, message);
    },
  });
  const running = await log.runRole(role);
  // A process without a partition is a standby, and ready as such.
  context.readiness("tables", () => isReady);
  return {
    finished: Promise.race([running.finished, failed.promise]),
    stop: async () => {
      await running.stop();
      await log.close();
    },
  };
}
