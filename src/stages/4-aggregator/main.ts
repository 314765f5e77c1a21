import { z } from "zod";
import { routing } from "../../../topics/index.ts";
import { parseConfig } from "../../config/parse-config.ts";
import type { Program } from "../../runtime/program.ts";
import { foldHalf } from "./fold-half.ts";
import { AggregatorMetrics } from "./metrics.ts";
import { paneSettingFields, windowHalf } from "./window-half.ts";

const interval = (defaultMs: number) => z.coerce.number().int().min(100).max(60_000).default(defaultMs);

const configuration = z.object({
  HEADGATE_AGGREGATOR_FLUSH_MS: interval(1_000).describe("how often each half writes what it has, ms"),
  HEADGATE_WINDOW_REFRESH_MS: interval(5_000).describe("how often rolling windows that changed are written to `windows`, ms"),
});

/** The aggregator: both halves in one process. Fold: scores into partials; window: partials into blocks and rolling windows. */
export const program: Program = {
  name: "aggregator",
  configuration,
  async start({ connect, env, metrics, readiness }) {
    const { HEADGATE_AGGREGATOR_FLUSH_MS: flushEveryMs, HEADGATE_WINDOW_REFRESH_MS: refreshEveryMs } = parseConfig("aggregator", configuration, env);
    const log = await connect();
    const counters = new AggregatorMetrics(metrics);
    const tables = log.openTable(routing, { fields: paneSettingFields });
    await tables.ready;
    const fold = await log.runRole(foldHalf({ partitionFor: (topic, key) => log.partitionFor(topic, key), flushEveryMs, metrics: counters }));
    const window = await log.runRole(windowHalf({ tableOf: (route) => tables.get(route), flushEveryMs, refreshEveryMs, metrics: counters }));
    readiness("aggregator", () => tables.freshAtMs() > 0);
    return {
      finished: Promise.all([fold.finished, window.finished]).then(() => undefined),
      async stop() {
        await Promise.all([fold.stop(), window.stop()]);
        await tables.close();
      },
    };
  },
};
