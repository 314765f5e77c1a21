import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from "prom-client";
import { withEnded } from "../../../src/runtime/process/ended-metrics.ts";

async function counted(calls: number, latency: number) {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: "calls_total", help: "Calls.", labelNames: ["route"], registers }).inc({ route: "chat" }, calls);
  new Histogram({ name: "latency", help: "Latency.", buckets: [1, 10], registers }).observe(latency);
  new Gauge({ name: "running", help: "Running.", registers }).set(3);
  new Gauge({ name: "held", help: "Held.", aggregator: "max", registers }).set(1);
  return await registry.getMetricsAsJSON();
}

describe("metrics of workers that have ended", () => {
  it("are what they have counted, added up, and nothing of what they held", async () => {
    const ended = withEnded(withEnded(withEnded([], await counted(2, 5)), []), await counted(3, 0.5));
    const text = await AggregatorRegistry.aggregate([ended, await counted(4, 50)]).metrics();
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    assert.deepEqual(lines.sort(), [
      'calls_total{route="chat"} 9',
      "held 1",
      'latency_bucket{le="+Inf"} 3',
      'latency_bucket{le="1"} 1',
      'latency_bucket{le="10"} 2',
      "latency_count 3",
      "latency_sum 55.5",
      "running 3",
    ]);
    assert.deepEqual(
      await AggregatorRegistry.aggregate([ended])
        .getMetricsAsJSON()
        .then((metrics) => metrics.map(({ name }) => name)),
      ["calls_total", "latency"],
    );
  });
});
