import { forecastStep } from "../../../src/domain/planning/forecast.ts";
import type { BaselineShape, PlannedTraffic } from "../../../src/domain/planning/traffic.ts";
import { gatesPlan, productNames } from "./plans.ts";
import { baseLevels, type Levels, type Model, SCORE_VARIANCE, type Scenario, type SignalName, signalNames } from "./traffic.ts";

/** What is known of a baseline, as `plan` is told it. */
function shapeOf(name: SignalName, base: Levels): BaselineShape {
  if (name === "cost") return { sigma: 1 };
  if (name === "latency" || name === "ttft") return { sigma: 0.6 };
  return name === "groundedness" || name === "relevance" ? { loss: base[name], sd: Math.sqrt(SCORE_VARIANCE) } : { loss: base[name] };
}

/** Median minutes to freeze that `headgate plan` gives for a step like the model's and a scenario's harm; null: never. */
export function plannedMinutes(model: Model, { harmed, candidate, base = baseLevels }: Scenario): number | null {
  if (harmed === undefined) return null;
  const isRelative = harmed === "latency" || harmed === "ttft" || harmed === "cost";
  const effect = isRelative ? candidate[harmed] / base[harmed] - 1 : candidate[harmed] - base[harmed];
  const [calls, judged] = [arms(model.calls), arms(model.judged)];
  const step: PlannedTraffic = {
    step: 1,
    phase: "canary",
    percent: 10,
    calls,
    judged,
    dwell: { minMinutes: 30, maxMinutes: model.minutes },
    isWithoutProof: false,
    restartShare: 1,
  };
  const known = Object.fromEntries(signalNames.map((name) => [productNames[name], shapeOf(name, base)]));
  const signal = productNames[harmed];
  const found = forecastStep(gatesPlan(base), { callsPerMinute: calls.candidate + calls.baseline, baseline: known }, step, { effects: { [signal]: [effect] } });
  return found.signals.find((forecast) => forecast.signal === signal)?.freeze.at(-1)?.minutes ?? null;
}

const arms = ([candidate, baseline]: readonly [number, number]) => ({ candidate, baseline });
