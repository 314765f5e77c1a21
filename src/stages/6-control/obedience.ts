import type { Brake, FleetReport, RoutingTable } from "../../../topics/index.ts";
import { exposesCandidate } from "../../domain/routing/route-table.ts";
import { heardAtMs } from "../../runtime/append-time.ts";

/** A gateway that has not reported for so long counts as dead (DESIGN.md section 2). */
export const deadAfterMs = 30_000;

/** What one live gateway serves on a route. */
export interface GatewayView {
  readonly instance: string;
  readonly url: string;
  /** 0 while it serves its static baseline. */
  readonly epoch: number;
  readonly braked: boolean;
  readonly obeys: boolean;
}

/** How far the fleet has followed the newest table of a route. */
export interface Obedience {
  /** The epoch that is to be obeyed; 0 when the route has no table. */
  readonly epoch: number;
  readonly obeyed: number;
  readonly live: number;
  readonly gateways: readonly GatewayView[];
}

/** Gateways that the broker heard within the last 30 s, whatever their own clocks say, and that are not stopping. */
export function liveGateways(reports: Iterable<FleetReport>, nowMs: number): FleetReport[] {
  return [...reports].filter((report) => report.role === "gateway" && !report.stopping && nowMs - heardAtMs(report) < deadAfterMs);
}

/**
 * Who obeys the newest table and brake of a route: it serves that epoch or a newer one; where a brake binds, it is braked
 * or its table exposes nobody to the candidate. A gateway that does not name the route has not seen its table yet.
 */
export function obedience(
  live: readonly FleetReport[],
  about: { readonly route: string; readonly table?: RoutingTable | undefined; readonly brake?: Brake | undefined },
): Obedience {
  const { route, table, brake } = about;
  const epoch = table?.epoch ?? 0;
  const gateways = live.map((report): GatewayView => {
    const served = report.routes.find((entry) => entry.route === route);
    const isCurrent = served !== undefined && !served.static && served.epoch >= epoch;
    const braked = served?.braked ?? false;
    const obeys = brake === undefined ? isCurrent : braked || (isCurrent && (table === undefined || !exposesCandidate(table)));
    return { instance: report.instance, url: report.url, epoch: served?.static === false ? served.epoch : 0, braked, obeys };
  });
  return { epoch, obeyed: gateways.filter((gateway) => gateway.obeys).length, live: gateways.length, gateways };
}

/** Candidate's share of the buckets, in percent. */
export function candidateSharePct(table: RoutingTable | undefined): number {
  const ranges = table?.ranges.filter((range) => range.arm === "candidate") ?? [];
  return ranges.reduce((sum, range) => sum + (range.to - range.from), 0) / 100;
}

/** The brake that binds a route now: the one of all routes, or its own when it is for the current attempt. */
export function bindingBrake(
  brakes: { get(route: string): Brake | undefined },
  about: { readonly route: string; readonly rollout: string; readonly attempt: number },
): Brake | undefined {
  const all = brakes.get("*");
  if (all !== undefined && !all.cleared) return all;
  const own = brakes.get(about.route);
  return own !== undefined && own.rollout === about.rollout && own.attempt === about.attempt ? own : undefined;
}
