import { AggregatorRegistry } from "prom-client";

/** What `Registry.getMetricsAsJSON` gives. */
export type Metrics = readonly object[];

const isCount = (metric: { readonly type?: unknown }): boolean => metric.type === "counter" || metric.type === "histogram";

/**
 * Adds what one more process had counted to what those that ended before it had. Without it the sums of all processes would go back when one ends,
 * which Prometheus takes for a restart, and all that the others have counted for new events. What it held (gauges) has gone with it.
 *
 * @param last what it said last
 */
export function withEnded(ended: Metrics, last: Metrics): Metrics {
  return AggregatorRegistry.aggregate([ended, last.filter(isCount)]).getMetricsAsArray();
}
