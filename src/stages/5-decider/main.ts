import { Counter } from "prom-client";
import { z } from "zod";
import { aggregates, brakes, commands, fleet, rolloutState, rollouts } from "../../../topics/index.ts";
import { parseConfig } from "../../config/parse-config.ts";
import { version } from "../../config/version.ts";
import { TABLE_LOST } from "../../domain/rollout/step.ts";
import type { LogClient, TaskRole } from "../../runtime/port.ts";
import type { Program, ProgramContext, RunningProgram } from "../../runtime/program.ts";
import { exposureFields } from "./fleet-exposure.ts";
import { sha256 } from "./read-spec.ts";
import { restore } from "./restore.ts";
import { type DeciderParts, DeciderTask } from "./task.ts";

/** How often time is looked at, ms: dwell, silence and thaw are due to the second. */
const TICK_MS = 1_000;

/** What decides is in each route's spec; only what concerns all routes together is configured here. */
export const deciderConfiguration = z.object({
  HEADGATE_MOST_CANDIDATE_PERCENT: z.coerce
    .number()
    .gt(0)
    .max(100)
    .optional()
    .describe("Largest share of all calls over all routes that candidates may serve together, percent: beyond it no rollout goes up; absent: no cap."),
});

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
  const { HEADGATE_MOST_CANDIDATE_PERCENT: mostPercent } = parseConfig("decider", deciderConfiguration, context.env);
  const states = mostPercent === undefined ? null : log.openTable(rolloutState, { fields: exposureFields });
  const tables = { brakes: log.openTable(brakes), fleet: log.openTable(fleet) };
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  let isReady = false;
  Promise.all([tables.brakes.ready, tables.fleet.ready, states?.ready]).then(() => {
    isReady = true;
  }, failed.reject);
  const role = decider(log, {
    ...tables,
    cap: states === null || mostPercent === undefined ? null : { mostPpm: Math.round(mostPercent * 10_000), states },
    deps: { sha256, codeVersion: version },
    onDecision: (decision) => {
      if (decision.kind === "routing") {
        const { route, epoch, reason } = decision.table;
        if (reason === TABLE_LOST) context.log.warn({ route, epoch }, "the topic `routing` had lost the route's table: it is published again");
        return;
      }
      const { route, rollout, attempt, action, toPhase, toStep, reasons, message, epoch } = decision.event;
      decisions.inc({ action });
      context.log.info({ route, rollout, attempt, action, phase: toPhase, step: toStep, reasons, epoch }, message);
    },
  });
  const running = await log.runRole(role);
  // A process without a partition is a standby, and ready as such.
  context.readiness("tables", () => isReady);
  return {
    tables: { [brakes.name]: tables.brakes, [fleet.name]: tables.fleet, ...(states === null ? {} : { [rolloutState.name]: states }) },
    finished: Promise.race([running.finished, failed.promise]),
    stop: async () => {
      await running.stop();
      await log.close();
    },
  };
}
