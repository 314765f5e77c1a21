import { z } from "zod";
import { routing } from "../../../topics/index.ts";
import { parseConfig } from "../../config/parse-config.ts";
import { tokenKeys } from "../../config/token-key.ts";
import type { LogClient } from "../../runtime/port.ts";
import type { Program } from "../../runtime/program.ts";
import { SealedTokens } from "../../runtime/sealed-tokens.ts";
import { foldHalf } from "./fold-half.ts";
import { AggregatorMetrics } from "./metrics.ts";
import { paneSettingFields, windowHalf } from "./window-half.ts";

const interval = (defaultMs: number) => z.coerce.number().int().min(100).max(60_000).default(defaultMs);

const configuration = z.object({
  HEADGATE_AGGREGATOR_FLUSH_MS: interval(1_000).describe("how often each half writes what it has, ms"),
  HEADGATE_WINDOW_REFRESH_MS: interval(5_000).describe("how often rolling windows that changed are written to `windows`, ms"),
  HEADGATE_TOKEN_KEY: tokenKeys,
});

/** The aggregator: both halves in one process. Fold: scores and outcomes into partials; window: partials into blocks and rolling windows. */
export const program: Program = {
  name: "aggregator",
  configuration,
  async start({ connect, env, metrics, readiness }) {
    const {
      HEADGATE_AGGREGATOR_FLUSH_MS: flushEveryMs,
      HEADGATE_WINDOW_REFRESH_MS: refreshEveryMs,
      ...secrets
    } = parseConfig("aggregator", configuration, env);
    const tokens = secrets.HEADGATE_TOKEN_KEY === undefined ? null : new SealedTokens(secrets.HEADGATE_TOKEN_KEY);
    const log = await connect();
    const counters = new AggregatorMetrics(metrics);
    const tables = log.openTable(routing, { fields: paneSettingFields });
    await tables.ready;
    const tableOf = (route: string) => tables.get(route);
    const partitionFor: LogClient["partitionFor"] = (topic, key) => log.partitionFor(topic, key);
    const fold = await log.runRole(foldHalf({ partitionFor, flushEveryMs, metrics: counters, tokens, tableOf }));
    const window = await log.runRole(windowHalf({ tableOf, flushEveryMs, refreshEveryMs, metrics: counters }));
    readiness("aggregator", () => tables.freshAtMs() > 0);
    return {
      tables: { [routing.name]: tables },
      finished: Promise.all([fold.finished, window.finished]).then(() => undefined),
      async stop() {
        await Promise.all([fold.stop(), window.stop()]);
        await tables.close();
      },
    };
  },
};
