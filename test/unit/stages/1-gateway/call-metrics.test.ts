import { equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Histogram, Registry } from "prom-client";
import type { CallRecord } from "../../../../src/stages/1-gateway/call/record.ts";
import { CallMetrics } from "../../../../src/stages/1-gateway/call-metrics.ts";

const labels = { route: "r", version: "v@1", arm: "baseline", exposure: "served" } as const;
const about = { name: "gen_ai_client_token_usage", help: "Tokens of a call as its upstream reported them." };

test("histograms of calls are written as prom-client writes its own, for any values", async () => {
  const tokens = fc.array(fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 2 ** 30 }), fc.constantFrom(4, 16, 4 ** 13, 4 ** 13 + 1)), {
    minLength: 1,
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(tokens, async (values) => {
      const ours = new Registry();
      const metrics = new CallMetrics(ours);
      const theirs = new Registry();
      const buckets = Array.from({ length: 14 }, (_, i) => 4 ** i);
      const reference = new Histogram({ ...about, buckets, labelNames: [...Object.keys(labels), "gen_ai_token_type"], registers: [theirs] });
      for (const inputTokens of values) {
        metrics.completed({ ...labels, status: "ok", latencyMs: 1, ttftMs: null, inputTokens, outputTokens: null } as CallRecord);
        reference.observe({ ...labels, gen_ai_token_type: "input" }, inputTokens);
      }
      equal(await ours.getSingleMetricAsString(about.name), await theirs.getSingleMetricAsString(about.name));
    }),
  );
});
