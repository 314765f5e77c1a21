import type { CatalogEntry, DeclaredRollout, FleetReport, RolloutSpec } from "../../../topics/index.ts";
import type { Problem } from "../../config/schema-problems.ts";
import { canonicalJson } from "../../domain/rollout/canonical-json.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import { KnownError } from "../../errors/known-error.ts";
import { digestOf } from "./digest.ts";
import { liveGateways } from "./obedience.ts";
import { runningPhases, standingOf } from "./route-view.ts";
import { type GivenRubric, resolveRubrics } from "./rubrics.ts";
import { readSpec, readYaml } from "./spec-document.ts";
import type { Views } from "./views.ts";
import type { WriteLog } from "./write-log.ts";

/** What a caller declares. */
export interface Declaration {
  /** The spec as an object, or as YAML text. */
  readonly spec: unknown;
  readonly rubrics: readonly GivenRubric[];
  readonly actor: string;
  readonly expectedAttempt: number | undefined;
}

export interface Declared {
  readonly kind: "unchanged" | "declared";
  readonly route: string;
  readonly digest: string;
  /** What could not be checked, in sentences. */
  readonly warnings: readonly string[];
}

/**
 * Checks a spec against its schema, its own logic, the catalog and the live fleet, and writes it to `rollouts`.
 *
 * @throws {KnownError} SPEC_INVALID, RUBRIC_INVALID with `details.errors`; CONFLICT; KAFKA_UNREACHABLE
 */
export async function declareRollout(
  declaration: Declaration,
  at: { readonly views: Views; readonly write: WriteLog; readonly nowMs: number },
): Promise<Declared> {
  const { views, write, nowMs } = at;
  const spec = checkedSpec(declaration.spec);
  const text = canonicalJson(spec);
  const digest = digestOf(text);
  const rubrics = resolveRubrics(spec, declaration.rubrics, { catalog: views.catalog, nowMs });
  const notices = checkSense(spec, rubrics.wanted);
  checkVersions(spec, views);
  checkAttempt(spec.route, declaration.expectedAttempt, views);
  // A refused spec may be declared again: what stood in its way may be gone.
  const isDeclared = views.rollouts.get(spec.route)?.digest === digest && standingOf(views, spec.route, digest).standing !== "refused";
  if (isDeclared || isOfPresentAttempt(spec.route, digest, views)) return { kind: "unchanged", route: spec.route, digest, warnings: [] };
  // What else a spec does while a rollout runs is for the decider to judge.
  if ((spec.onRunning ?? "reject") === "reject") checkNotRunning(spec.route, views);
  const live = liveGateways(
    [...views.fleet.entries()].map(([, report]) => report),
    nowMs,
  );
  checkUpstreams(spec, live);

  const specEntry: CatalogEntry = { digest, kind: "spec", name: spec.route, text, atMs: nowMs };
  const unknown = [specEntry, ...rubrics.entries].filter((entry) => views.catalog.get(entry.digest) === undefined);
  // The texts first: whoever reads the record finds what it names.
  await write.catalog(unknown);
  await write.rollout({ route: spec.route, spec: text, digest, rubrics: rubrics.wanted, actor: declaration.actor, atMs: nowMs });
  return {
    kind: "declared",
    route: spec.route,
    digest,
    warnings: live.length > 0 ? notices : [...notices, "no live gateway is known: the upstreams were not checked"],
  };
}

/** What a schema cannot see; the decider judges a spec by the same function. */
function checkSense(spec: RolloutSpec, rubrics: DeclaredRollout["rubrics"]): readonly string[] {
  const normalised = normaliseSpec(spec, rubrics);
  if (normalised.kind === "plan") return normalised.notices;
  throw new KnownError("SPEC_INVALID", "the spec fits its schema but cannot be run", {
    fix: "correct the fields listed",
    details: { errors: normalised.problems },
  });
}

/** The route that a declaration is about, before anything else of it is checked. */
export function checkedSpec(spec: unknown): RolloutSpec {
  return readSpec(typeof spec === "string" ? readYaml(spec, "the spec") : spec);
}

function checkVersions(spec: RolloutSpec, views: Views): void {
  const served = new Set(views.routing.get(spec.route)?.versions.map((version) => version.name) ?? []);
  const errors: Problem[] = [];
  for (const field of ["baseline", "candidate"] as const) {
    const name = spec[field];
    if (spec.versions[name] !== undefined || served.has(name)) continue;
    const known = [...Object.keys(spec.versions), ...served].join(", ") || "none";
    errors.push({
      path: field,
      message: `names version ${name}, which is neither in \`versions\` nor served on the route (known: ${known}); describe it under versions`,
    });
  }
  if (errors.length > 0)
    throw new KnownError("SPEC_INVALID", "the spec names a version that nothing describes", {
      fix: "describe it under versions: {upstream, model}",
      details: { errors },
    });
}

function checkAttempt(route: string, expected: number | undefined, views: Views): void {
  const current = views.states.get(route)?.attempt ?? 0;
  if (expected === undefined || expected === current) return;
  throw new KnownError("CONFLICT", `route ${route} is at attempt ${current}, not ${expected}`, {
    fix: "look at the route, then decide again",
    details: { attempt: current },
  });
}

/** Whether a spec is that of the present attempt; the decider ignores it then. Another one that was started is refused by both. */
function isOfPresentAttempt(route: string, digest: string, views: Views): boolean {
  const events = views.gateEvents.newest(route, { limit: Number.MAX_SAFE_INTEGER });
  const started = events.find(({ action, specDigest }) => action === "started" && specDigest === digest);
  if (started === undefined) return false;
  const { rollout, attempt } = started;
  const state = views.states.get(route);
  if (state === undefined) return true;
  // After an edit the attempt has another spec: going back to the first one is an edit too.
  if (state.rollout === rollout && state.attempt === attempt)
    return events.find((event) => event.rollout === rollout && event.attempt === attempt)?.specDigest === digest;
  throw new KnownError("CONFLICT", `this spec was started before, as attempt ${attempt} of ${rollout}, and no spec is started twice`, {
    fix: `headgate rollout retry ${route} starts the newest rollout again; to start this one, give the spec another id (or any other change)`,
    details: { rollout, attempt },
  });
}

function checkNotRunning(route: string, views: Views): void {
  const state = views.states.get(route);
  if (state === undefined || state.rollout === "" || !runningPhases.has(state.phase)) return;
  throw new KnownError("CONFLICT", `rollout ${state.rollout} (attempt ${state.attempt}) is running on route ${route}: ${state.phase}, ${state.condition}`, {
    fix: `let it end, or end it first: headgate rollout rollback ${route}`,
    details: { rollout: state.rollout, attempt: state.attempt, phase: state.phase },
  });
}

function checkUpstreams(spec: RolloutSpec, live: readonly FleetReport[]): void {
  const missing = Object.entries(spec.versions).flatMap(([version, { upstream }]) => {
    const gateways = live.filter((report) => !report.upstreams.includes(upstream)).map((report) => report.instance);
    return gateways.length === 0 ? [] : [{ version, upstream, gateways }];
  });
  const [first] = missing;
  if (first === undefined) return;
  const known = [...new Set(live.flatMap((report) => report.upstreams))].sort().join(", ") || "none";
  const sentences = missing.map(
    ({ version, upstream, gateways }) =>
      `upstream ${upstream} of version ${version} is unknown to ${gateways.length} of ${live.length} live gateways (${gateways.join(", ")})`,
  );
  throw new KnownError("CONFLICT", sentences.join("; "), {
    fix: `add it to the upstreams file of those gateways and restart them, or name one of: ${known}`,
    details: { missing },
  });
}
