import type { Command } from "commander";
import type { WindowView } from "../../../topics/index.ts";
import { normalQuantile } from "../../domain/planning/normal.ts";
import type { BaselineShape, TrafficAssumption } from "../../domain/planning/traffic.ts";
import type { PlannedSignal, RolloutPlan } from "../../domain/rollout/spec/plan.ts";
import { predictableMean } from "../../domain/stats/bet.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { RouteView } from "../../stages/6-control/route-view.ts";
import type { Cli } from "../cli.ts";
import { type ConnectionOptions, connect } from "../rollout/connection.ts";
import { getRoute } from "../rollout/watch.ts";

/** Options that say for which volume a ladder is planned. */
export interface VolumeOptions extends ConnectionOptions {
  readonly rps?: string;
  readonly fromTopics?: boolean;
}

export function volumeOptions(command: Command): Command {
  return command
    .option("--rps <n>", "served requests per second of the route")
    .option("--from-topics", "take volume and baseline from the route's rolling windows, through the control API");
}

/** What a plan is made for, and where that was taken from. */
export interface Volume {
  readonly traffic: TrafficAssumption;
  /** One clause for people. */
  readonly source: string;
}

/**
 * The volume that the options name.
 *
 * @returns null when they name none
 * @throws {KnownError} REQUEST_INVALID for a volume that is none, or a route that nobody has seen calls of
 */
export async function readVolume(cli: Cli, options: VolumeOptions, plan: RolloutPlan): Promise<Volume | null> {
  if (options.rps !== undefined && options.fromTopics === true)
    throw new KnownError("REQUEST_INVALID", "--rps and --from-topics both name a volume", { fix: "give one of them" });
  if (options.rps !== undefined) {
    const rps = Number(options.rps);
    if (!(rps > 0) || !Number.isFinite(rps))
      throw new KnownError("REQUEST_INVALID", `--rps ${options.rps} is not a number above 0`, { fix: "write for example --rps 3" });
    return { traffic: { callsPerMinute: rps * 60 }, source: "stated with --rps; what is assumed of the baseline are the presets' values" };
  }
  if (options.fromTopics !== true) return null;
  return observedVolume(await getRoute(await connect(cli, options), plan.route), plan);
}

const MINUTE_MS = 60_000;
/** Windows that were not refreshed for so long belong to what is over. */
const FRESH_MS = 2 * MINUTE_MS;
/** Scored records below which a window says nothing about a shape. */
const LEAST_SCORED = 50;

/** Volume and baseline from the rolling windows of a route, clustering from the newest evidence. */
function observedVolume(view: Pick<RouteView, "windows" | "signals">, plan: RolloutPlan): Volume {
  const served = view.windows.filter(({ exposure, slice }) => exposure === "served" && slice === "all");
  const newestMs = Math.max(0, ...served.map(({ toMs }) => toMs));
  const fresh = served.filter(({ toMs }) => toMs > newestMs - FRESH_MS);
  const calls = fresh.filter(({ signal, toMs, fromMs }) => signal === "error_rate" && toMs > fromMs);
  const callsPerMinute = calls.reduce((sum, { records, fromMs, toMs }) => sum + (records * MINUTE_MS) / (toMs - fromMs), 0);
  if (!(callsPerMinute > 0))
    throw new KnownError("REQUEST_INVALID", `no calls of route ${plan.route} are in its rolling windows`, {
      fix: "give the volume with --rps N, or plan when calls have arrived",
    });
  const baseline: Record<string, BaselineShape> = {};
  for (const signal of plan.signals) {
    const window = windowOf(fresh, signal, plan.baseline);
    if (window !== undefined) baseline[signal.name] = shapeIn(window, signal);
  }
  const deff: Record<string, number> = {};
  for (const { signal, processes } of view.signals) deff[signal] = Math.max(deff[signal] ?? 1, ...processes.map((process) => process.deff));
  const known = Object.keys(baseline);
  const of = known.length === 0 ? "nothing is known of the baseline's signals yet" : `baseline seen for ${known.join(", ")}`;
  return { traffic: { callsPerMinute, baseline, deff }, source: `observed in the route's rolling windows; ${of}` };
}

/** The fullest window of the baseline. */
function windowOf(windows: readonly WindowView[], { name }: PlannedSignal, version: string): WindowView | undefined {
  const mine = windows.filter((window) => window.signal === name && window.version === version && window.scored >= LEAST_SCORED);
  return mine.sort((a, b) => b.scored - a.scored)[0];
}

function shapeIn(window: WindowView, signal: PlannedSignal): BaselineShape {
  const { mean, standardError, scored, sampled, p90, p99 } = window;
  const unscored = signal.source === "judge" && sampled > 0 ? { unscored: Math.max(0, 1 - scored / sampled) } : {};
  const sd = standardError === null ? null : standardError * Math.sqrt(scored);
  if (signal.kind === "percentile") {
    if (p90 === null || p99 === null || !(p90 > 0 && p99 > p90)) return {};
    return { sigma: Math.log(p99 / p90) / (normalQuantile(0.99) - normalQuantile(0.9)) };
  }
  if (mean === null) return unscored;
  if (signal.kind === "mean") return sd === null || !(mean > 0) ? {} : { sigma: Math.sqrt(Math.log(1 + (sd / mean) ** 2)) };
  // As the decider does: the preset's reference counts for 50 records, so that no failure yet is not a rate of 0.
  const loss = predictableMean({ n: scored, sum: scored * (1 - mean) }, signal.reference);
  return { loss, ...(signal.kind === "score" && sd !== null && sd > 0 ? { sd } : {}), ...unscored };
}
