import { normaliseSpec } from "../../../src/domain/rollout/spec/normalise.ts";
import type { PlannedSignal, RolloutPlan } from "../../../src/domain/rollout/spec/plan.ts";
import type { SimulatedPlan } from "../../../src/domain/simulation/simulator.ts";
import type { RolloutSpec } from "../../../topics/index.ts";
import { COST_VARIANCE, type Levels, type SignalName, signalNames } from "./traffic.ts";

/** Names of the product's signals, by those of the traffic models; `relevance` is a second judge score. */
export const productNames: Readonly<Record<SignalName, string>> = {
  schema: "schema_validity",
  error: "error_rate",
  task: "task_completion",
  groundedness: "groundedness",
  relevance: "relevance",
  latency: "latency_p95",
  ttft: "ttft_p95",
  cost: "cost_per_request",
};

function normalised(over: Partial<RolloutSpec>): RolloutPlan {
  const spec: RolloutSpec = {
    route: "bench",
    baseline: "old@1",
    candidate: "new@1",
    versions: { "old@1": { upstream: "a", model: "old" }, "new@1": { upstream: "a", model: "new" } },
    signals: signalNames.map((name) => productNames[name]),
    judge: { rubric: "bench@1" },
    shadow: { share: 0 },
    ...over,
  };
  const scores = (["groundedness", "relevance"] as const).map((name) => ({ name, form: "grid" as const }));
  const rubric = { name: "bench@1", digest: "0", signals: [{ name: "task_completion", form: "binary" as const }, ...scores] };
  const found = normaliseSpec(spec, [rubric]);
  if (found.kind === "refused") throw new Error(`the bench's own spec is refused: ${JSON.stringify(found.problems)}`);
  return found.plan;
}

/** What a baseline's last day shows before the rollout, and every proven and lasting harm rolled back: columns compare tests, not actions. */
function knowing(plan: RolloutPlan, names: readonly SignalName[], base: Levels): RolloutPlan {
  const signals: PlannedSignal[] = plan.signals.map((signal, i) => {
    const name = names[i] ?? "schema";
    const seen = name === "cost" ? { reference: 1 / 20, referenceVariance: COST_VARIANCE } : signal.kind === "percentile" ? {} : { reference: base[name] };
    return { ...signal, ...seen, onBreach: "rollback" };
  });
  return { ...plan, signals };
}

/** Eight guardrails under a constant split: one step that is not left, looked at every minute (statistics.md section 3.1 to 3.4). */
export function gatesPlan(base: Levels): RolloutPlan {
  return knowing(normalised({ ladder: [10, 100], dwell: { min: "999h", minLate: "999h", max: "2000h" } }), signalNames, base);
}

/** Four guardrails over the whole ladder, 5-minute panes (statistics.md section 3.5). */
export function rampPlan(base: Levels, over: Partial<RolloutSpec> = {}): SimulatedPlan {
  const names = ["schema", "error", "task", "latency"] as const;
  const plan = normalised({
    signals: names.map((name) => productNames[name]),
    ladder: [1, 5, 10, 25, 50, 100],
    dwell: { min: "30m", minLate: "30m", max: "72h" },
    ...over,
  });
  return { ...knowing(plan, names, base), paneMs: 5 * 60_000 };
}
