import { KnownError } from "../../errors/known-error.ts";
import { heardAtMs } from "../../runtime/append-time.ts";
import { answerTo, brakeOfAll, brakeRecord, checkRoute, commandRecord } from "./commands.ts";
import { checkedSpec, declareRollout } from "./declare.ts";
import { explained } from "./explained.ts";
import { deadAfterMs, liveGateways, obedience } from "./obedience.ts";
import { type BrakeBody, type CommandBody, type DeclareBody, type PageQuery, type Verb, verbNames, type WaitQuery } from "./operations.ts";
import { isSpecRefusal, routeSummary, routesOf, routeView, windowsOf } from "./route-view.ts";
import type { Asked } from "./server.ts";
import type { Views } from "./views.ts";
import type { WriteLog } from "./write-log.ts";
import type { WriteQueue } from "./write-queue.ts";

/** What answers are made from. */
export interface Control {
  readonly views: Views;
  readonly write: WriteLog;
  readonly queue: WriteQueue;
  /** Epoch ms. */
  readonly now: () => number;
  readonly newId: () => string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

type Answering = (asked: Asked, control: Control) => Answer | Promise<Answer>;

/** How long a write waits until control's own view shows it, so that the next request sees it, ms. */
const readBackMs = 5_000;

/** By operation id; every JSON operation of operations.ts has one. */
export const answers: Readonly<Record<string, Answering>> = {
  declareRollout: declare,
  listRollouts: (_asked, { views, now }) => ok({ rollouts: routesOf(views).map((route) => routeSummary(views, route, now())) }),
  getRoute: ({ route }, { views, now }) => {
    checkRoute(views, route);
    return ok({ ...routeView(views, route, now()), explanation: explained(views, route, now()) });
  },
  listRouteEvents: listEvents,
  ...Object.fromEntries(verbNames.map((verb) => [verb, command(verb)])),
  brakeRoute,
  brakeAll: brakeAll({ cleared: false }),
  clearBrake: brakeAll({ cleared: true }),
  listWindows: ({ route }, { views }) => ok({ windows: windowsOf(views, route === "" ? undefined : route) }),
  listFleet: (_asked, { views, now }) => ok({ gateways: fleetView(views, now()) }),
};

async function declare(asked: Asked, control: Control): Promise<Answer> {
  const { views, write, queue, now } = control;
  const body = asked.body as DeclareBody;
  const { wait = 0 } = asked.query as WaitQuery;
  const spec = checkedSpec(body.spec);
  const { route } = spec;
  const { written, before } = await queue.run(route, async () => {
    const before = views.gateEvents.newestId(route);
    const nowMs = now();
    const written = await declareRollout(
      { spec, rubrics: body.rubrics ?? [], actor: asked.actor, expectedAttempt: body.expectedAttempt },
      { views, write, nowMs },
    );
    await views.until(() => written.kind === "unchanged" || views.rollouts.get(route)?.atMs === nowMs, readBackMs);
    return { written, before };
  });
  const { digest, warnings, kind } = written;
  if (kind === "unchanged") return { status: 200, body: { route, digest, status: "unchanged", ...position(views, route), warnings } };
  const decision = () => views.gateEvents.since(route, before).find((event) => event.specDigest === digest);
  const isShown = () => {
    const event = decision();
    return event !== undefined && (isSpecRefusal(event) || (views.states.get(route)?.epoch ?? -1) >= event.epoch);
  };
  const isTakenUp = await views.until(isShown, wait);
  const decided = decision();
  if (decided !== undefined && isSpecRefusal(decided)) {
    throw new KnownError("CONFLICT", `the decider refused the spec: ${decided.message}`, {
      fix: "correct what it names, then apply again",
      details: { digest, gateEvent: decided.id },
    });
  }
  return { status: 202, body: { route, digest, status: isTakenUp ? "taken_up" : "declared", ...position(views, route), warnings } };
}

/** Where a route stands, for the answer of a write. */
function position(views: Views, route: string): Readonly<Record<string, unknown>> {
  const state = views.states.get(route);
  if (state === undefined) return { rollout: null, attempt: 0, phase: "none", message: "the decider has not taken it up yet" };
  return { rollout: state.rollout, attempt: state.attempt, phase: state.phase, condition: state.condition, message: state.message };
}

function listEvents(asked: Asked, { views }: Control): Answer {
  checkRoute(views, asked.route);
  const page = asked.query as PageQuery;
  const events = views.gateEvents.newest(asked.route, page);
  return ok({ events, next: events.length < page.limit ? null : (events.at(-1)?.id ?? null) });
}

function command(verb: Verb): Answering {
  return async (asked, { views, write, queue, now, newId }) => {
    const { route, actor } = asked;
    const { id = newId(), reason = "", expectedAttempt, expectedEpoch } = asked.body as CommandBody;
    const { wait = 0 } = asked.query as WaitQuery;
    const { record, before } = await queue.run(route, async () => {
      const checked = commandRecord({ route, verb, id, reason, actor, expectedAttempt, expectedEpoch }, { views, nowMs: now() });
      const before = views.gateEvents.newestId(route);
      await write.command(checked);
      return { record: checked, before };
    });
    const decision = () => answerTo(record, views.gateEvents.since(route, before));
    await views.until(() => decision() !== undefined, wait);
    const decided = decision();
    if (decided?.kind === "refused")
      throw new KnownError("CONFLICT", `the decider refused: ${decided.message}`, { fix: `headgate rollout get ${route}`, details: { id } });
    const message = decided === undefined ? {} : { message: decided.message };
    return { status: 202, body: { id, verb, route, status: decided?.kind ?? "written", ...position(views, route), ...message } };
  };
}

async function brakeRoute(asked: Asked, { views, write, now }: Control): Promise<Answer> {
  const { reason = "" } = asked.body as BrakeBody;
  const { wait = 0 } = asked.query as WaitQuery;
  // Not queued behind other writes of the route: a brake waits for nothing.
  const brake = brakeRecord({ route: asked.route, reason, actor: asked.actor }, { views, nowMs: now() });
  await write.brake(brake);
  const gateways = () => {
    const { obeyed, live } = routeView(views, asked.route, now()).gateways;
    return { obeyed, live };
  };
  await views.until(() => views.brakes.get(asked.route)?.atMs === brake.atMs, readBackMs);
  const isObeyed = await views.until(() => gateways().live > 0 && gateways().obeyed === gateways().live, wait);
  return {
    status: 202,
    body: { route: asked.route, rollout: brake.rollout, attempt: brake.attempt, status: isObeyed ? "obeyed" : "written", gateways: gateways() },
  };
}

function brakeAll({ cleared }: { readonly cleared: boolean }): Answering {
  return async (asked, { views, write, now }) => {
    const { reason = "" } = asked.body as BrakeBody;
    const { wait = 0 } = asked.query as WaitQuery;
    const brake = brakeOfAll({ cleared, reason, actor: asked.actor }, { views, nowMs: now() });
    await write.brake(brake);
    await views.until(() => views.brakes.get("*")?.atMs === brake.atMs, readBackMs);
    const routes = () => routesOf(views).map((route) => routeView(views, route, now()).gateways);
    const isObeyed = !cleared && (await views.until(() => routes().every(({ obeyed, live }) => obeyed === live), wait));
    return { status: 202, body: { route: "*", cleared, status: isObeyed ? "obeyed" : "written" } };
  };
}

function fleetView(views: Views, nowMs: number): unknown[] {
  const reports = [...views.fleet.entries()].map(([, report]) => report);
  const live = new Set(liveGateways(reports, nowMs).map((report) => report.instance));
  return reports
    .map((report) => ({
      ...report,
      live: live.has(report.instance),
      silentMs: Math.max(0, nowMs - heardAtMs(report)),
      deadAfterMs,
      routes: report.routes.map((served) => ({
        ...served,
        obeys: obedience([report], { route: served.route, table: views.routing.get(served.route) }).obeyed === 1,
      })),
    }))
    .sort((a, b) => Number(b.live) - Number(a.live) || b.atMs - a.atMs);
}

function ok(body: unknown): Answer {
  return { status: 200, body };
}
