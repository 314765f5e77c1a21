import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Counter } from "prom-client";
import { z } from "zod";
import { commands, rollouts, routing } from "../../../topics/index.ts";
import { parseConfig } from "../../config/parse-config.ts";
import type { Program } from "../../runtime/program.ts";
import { configuration } from "./config.ts";
import { Prober, type ProberParts } from "./prober.ts";

/** How often it is looked at what is due, ms: the shortest time between two runs of a route. */
const LOOK_MS = 1_000;
const retryBudgetMs = 10_000;

/** The prober: sends each route's golden prompts through the gateway, and reports on the bus how many were answered right. */
export const program: Program = {
  name: "prober",
  configuration,
  async start(context) {
    const config = parseConfig("prober", configuration, context.env);
    const log = await context.connect();
    const tables = { rollouts: log.openTable(rollouts), routing: log.openTable(routing) };
    await Promise.all([tables.rollouts.ready, tables.routing.ready]);
    const appender = log.openAppender({ retryBudgetMs });
    const runs = new Counter({
      name: "headgate_prober_runs_total",
      help: "Runs of golden prompts, by outcome",
      labelNames: ["route", "outcome"],
      registers: [context.metrics],
    });
    const stopped = new AbortController();
    const prober = new Prober({
      rollouts: () => tables.rollouts.entries(),
      tableOf: (route) => tables.routing.get(route),
      ask: asker(config.HEADGATE_PROBER_GATEWAY_URL, config.HEADGATE_PROBER_TIMEOUT_MS, stopped.signal),
      write: (value) => appender.append([{ topic: commands, partition: log.partitionFor(commands, value.route), key: value.route, value }]),
      now: Date.now,
      newId: randomUUID,
      callsPerHour: config.HEADGATE_PROBER_CALLS_PER_HOUR,
      onRun: (run) => runs.inc(run),
    });
    const loop = async () => {
      while (!stopped.signal.aborted) {
        try {
          await prober.runDue(stopped.signal);
        } catch (error) {
          context.log.warn({ err: error }, "the result of golden prompts could not be written; the next run tells as much");
        }
        await sleep(LOOK_MS, undefined, { signal: stopped.signal }).catch(() => undefined);
      }
    };
    const finished = loop();
    return {
      finished,
      async stop() {
        stopped.abort();
        await finished;
        await appender.close();
        await Promise.all([tables.rollouts.close(), tables.routing.close()]);
        await log.close();
      },
    };
  },
};

const completion = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })).min(1) });

/** One chat completion through the gateway; null when none came, in time and in form; undefined when nothing listens there. */
function asker(baseUrl: string, timeoutMs: number, stopped: AbortSignal): ProberParts["ask"] {
  const url = `${baseUrl.replace(/\/+$/, "")}/chat/completions`;
  return async ({ route, prompt, headers }) => {
    const system = prompt.system === undefined ? [] : [{ role: "system", content: prompt.system }];
    const body = JSON.stringify({ model: route, messages: [...system, { role: "user", content: prompt.prompt }] });
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body,
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), stopped]),
      });
      const parsed = completion.safeParse(await response.json());
      return response.ok && parsed.success ? (parsed.data.choices[0]?.message.content ?? null) : null;
    } catch (error) {
      // fetch says TypeError of a connection that could not be made; no answer in time, or no JSON, is a prompt that was not answered right.
      return error instanceof TypeError || stopped.aborted ? undefined : null;
    }
  };
}
