import type { Brake } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";
import type { LiveRoutes } from "./live-routes.ts";

/** What the admin port was asked for. */
export interface AskedBrake {
  readonly route: string;
  readonly reason: string;
  readonly actor: string;
}

/**
 * Brakes what a route serves now, or all routes, on this gateway.
 *
 * @returns the brake that holds; an attempt that was braked before keeps its brake
 * @throws {KnownError} NOT_FOUND for a route that is not known here, CONFLICT when nothing of it can be braked
 */
export function brakeHere(routes: LiveRoutes, { route, reason, actor }: AskedBrake, nowMs: number): Brake {
  if (route === "*") {
    // The last clearing may be by a clock that is ahead: it came before this all the same.
    const atMs = Math.max(nowMs, routes.clearedAtMs + 1);
    return braked(routes, { route, rollout: "", attempt: 0, cleared: false, reason, actor, atMs });
  }
  const attempt = routes.attemptOf(route);
  if (attempt === null && !routes.names().includes(route)) {
    throw new KnownError("NOT_FOUND", `this gateway knows no route ${route}`, { fix: `it knows ${routes.names().join(", ") || "none"}` });
  }
  if (attempt === null || attempt.rollout === "") {
    throw new KnownError("CONFLICT", `no rollout runs on ${route}: its baseline serves everybody`, { fix: "nothing needs to be stopped" });
  }
  return braked(routes, { route, ...attempt, cleared: false, reason, actor, atMs: nowMs });
}

function braked(routes: LiveRoutes, brake: Brake): Brake {
  obeyHere(routes, brake);
  return brake;
}

/** Obeys a brake that was given to another process of this gateway, also of an attempt that is not known here yet. Again changes nothing. */
export function obeyHere(routes: LiveRoutes, brake: Brake): void {
  if (!routes.holds(brake)) routes.brakeHere(brake);
}
