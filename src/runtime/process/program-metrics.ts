import type { Metric, Registry } from "prom-client";

/**
 * The metrics of the process as one run of a program sees them: what the program registers is the process's, and can be taken back, so that a program which is
 * started again in the same process finds its names free. Its counters then begin at zero, as those of a new process do.
 */
export function programMetrics(metrics: Registry): { readonly metrics: Registry; readonly withdraw: () => void } {
  const own = new Set<string>();
  const register = (metric: Metric & { readonly name?: string }): void => {
    metrics.registerMetric(metric);
    if (metric.name !== undefined) own.add(metric.name);
  };
  const seen = new Proxy(metrics, {
    get: (target, key) => {
      if (key === "registerMetric") return register;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    metrics: seen,
    withdraw: () => {
      for (const name of own) metrics.removeSingleMetric(name);
      own.clear();
    },
  };
}
