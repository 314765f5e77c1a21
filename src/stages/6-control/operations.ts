import { z } from "zod";

/** The verbs that a person or a system may send to a rollout, with what each does. */
export const verbs = {
  pause: "keeps the candidate's share as it is; evidence is still taken and guardrails still act",
  resume: "leaves a pause",
  promote: "advances by one step without waiting for the gates; the event says so",
  rollback: "takes the candidate to 0 % in one epoch and ends the attempt",
  approve: "approves leaving the current step, where the spec asks a person; else the edit or the start that waits for an approval (with a reason)",
  retry: "starts a new attempt of a rolled-back rollout, with fresh evidence",
  undo: "goes back to the previous baseline after done",
  freeze: "stops the climb until it is thawed",
  thaw: "leaves a freeze; evidence that caused it stays set aside",
  withdraw: "takes back the spec, edit or retry that waits",
  capture: "takes a new reference of the version that serves, from now on, and ends a drift alarm",
  clear: "ends a drift alarm; the reference stays",
} as const;
export type Verb = keyof typeof verbs;
export const verbNames = Object.keys(verbs) as readonly Verb[];

const longestWaitMs = 60_000;
const waitText = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m)$/, "must be a number with ms, s or m, for example 5s")
  .transform(waitMs)
  .refine((ms) => ms <= longestWaitMs, "must be at most 60s");

export const waitQuery = z.strictObject({ wait: waitText.optional().describe("how long to wait for the effect to show, for example 5s; at most 60s") });
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50).describe("how many events at most"),
  before: z.string().optional().describe("id of an event: only older ones"),
});
export const windowsQuery = z.strictObject({ route: z.string().optional().describe("only this route's windows") });
export const feedQuery = z.strictObject({ route: z.string().optional().describe("only this route's changes") });

const actor = z.string().min(1).max(200).optional().describe("who asks; else the header x-headgate-actor, else `api`");
const reason = z.string().max(2_000).optional().describe("why, for the record");

export const declareBody = z.strictObject({
  spec: z.union([z.record(z.string(), z.unknown()), z.string()]).describe("the rollout spec, as an object or as the text of a YAML document"),
  rubrics: z
    .array(z.strictObject({ name: z.string().min(1), text: z.string().min(1).max(200_000) }))
    .max(20)
    .optional()
    .describe("texts of rubrics that the spec names and that the catalog does not hold yet"),
  actor,
  expectedAttempt: z.int().min(0).optional().describe("refuse when the route's attempt is another one by now; 0: no attempt yet"),
});
export const commandBody = z.strictObject({
  reason,
  actor,
  id: z.string().min(1).max(200).optional().describe("idempotency key: a command with a known id has no further effect; default a new one"),
  expectedAttempt: z.int().min(0).optional().describe("refuse when the route's attempt is another one by now"),
  expectedEpoch: z.int().min(0).optional().describe("refuse when the route's epoch is another one by now"),
});
export const brakeBody = z.strictObject({ reason, actor });
export type WaitQuery = z.output<typeof waitQuery>;
export type PageQuery = z.output<typeof pageQuery>;
export type DeclareBody = z.output<typeof declareBody>;
export type CommandBody = z.output<typeof commandBody>;
export type BrakeBody = z.output<typeof brakeBody>;

/** One route of the HTTP API: what is registered, described in /openapi.json and documented in docs/api.md. */
export interface Operation {
  readonly id: string;
  readonly method: "GET" | "POST" | "DELETE";
  /** As fastify writes it: `:route` is a parameter. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  /** The body may also be a bare rollout spec as YAML. */
  readonly yamlBody?: boolean;
  /** Status codes with what each means; error statuses answer application/problem+json. */
  readonly answers: Readonly<Record<number, string>>;
  readonly produces?: string;
  /** Answered without a token. */
  readonly isOpen?: boolean;
}

const refused = { 400: "malformed request", 401: "no or a wrong bearer token", 403: "not from this machine, or from a web page" };
const unwritten = { 503: "Kafka did not acknowledge in time; the outcome is unknown, repeat the request" };
const unknownRoute = { 404: "no such route" };

const commandOperations = verbNames.map(
  (verb): Operation => ({
    id: verb,
    method: "POST",
    path: `/v1/routes/:route/${verb}`,
    summary: `Command: ${verbs[verb]}.`,
    query: waitQuery,
    body: commandBody,
    answers: { 202: "written to `commands`; the decider acts on it", 409: "does not fit the current state", ...unknownRoute, ...refused, ...unwritten },
  }),
);

export const operations: readonly Operation[] = [
  {
    id: "declareRollout",
    method: "POST",
    path: "/v1/rollouts",
    summary: "Declares a rollout: JSON {spec, rubrics?, actor?, expectedAttempt?}, or the bare spec as application/yaml.",
    query: waitQuery,
    body: declareBody,
    yamlBody: true,
    answers: {
      200: "this very spec is declared already; nothing was written",
      202: "written to `rollouts`; the decider starts an attempt",
      409: "another rollout runs on the route, a live gateway does not know an upstream, or the attempt is another one",
      422: "the spec or a rubric is not valid; `errors` lists each {path, message}",
      413: "the body is larger than 1 MiB",
      ...refused,
      ...unwritten,
    },
  },
  { id: "listRollouts", method: "GET", path: "/v1/rollouts", summary: "All routes, one line each.", answers: { 200: "{rollouts: [...]}", ...refused } },
  {
    id: "getRoute",
    method: "GET",
    path: "/v1/routes/:route",
    summary: "A route: state, spec, routing, brake, gateways, evidence of the newest decision, events, windows.",
    answers: { 200: "the route", ...unknownRoute, ...refused },
  },
  {
    id: "listRouteEvents",
    method: "GET",
    path: "/v1/routes/:route/events",
    summary: "Gate events of a route, newest first (the newest 200 are in memory; all are in the topic).",
    query: pageQuery,
    answers: { 200: "{events: [...], next: id | null}", ...unknownRoute, ...refused },
  },
  ...commandOperations,
  {
    id: "brakeRoute",
    method: "POST",
    path: "/v1/routes/:route/brake",
    summary: "Stops the route's current attempt at every gateway at once, also without the decider. Never lifted.",
    query: waitQuery,
    body: brakeBody,
    answers: { 202: "written to `brakes`", 409: "no attempt is known on the route", ...unknownRoute, ...refused, ...unwritten },
  },
  {
    id: "brakeAll",
    method: "POST",
    path: "/v1/brake",
    summary: "Stops the candidates of all routes (route `*`) until it is cleared.",
    query: waitQuery,
    body: brakeBody,
    answers: { 202: "written to `brakes`", ...refused, ...unwritten },
  },
  {
    id: "clearBrake",
    method: "DELETE",
    path: "/v1/brake",
    summary: "Clears the brake of all routes; raises nothing by itself.",
    body: brakeBody,
    answers: { 202: "written to `brakes`", 409: "no brake of all routes is set", ...refused, ...unwritten },
  },
  {
    id: "listWindows",
    method: "GET",
    path: "/v1/windows",
    summary: "Rolling windows, one per series.",
    query: windowsQuery,
    answers: { 200: "{windows: [...]}", ...refused },
  },
  {
    id: "listFleet",
    method: "GET",
    path: "/v1/fleet",
    summary: "Gateways that reported within the last day, live ones first.",
    answers: { 200: "{gateways: [...]}", ...refused },
  },
  {
    id: "followEvents",
    method: "GET",
    path: "/v1/events",
    summary: "Server-sent events: gate-event, routing, rollout-state, brake; `reset` when Last-Event-ID is not in memory any more.",
    query: feedQuery,
    answers: { 200: "the stream", ...refused },
    produces: "text/event-stream",
  },
  { id: "openapi", method: "GET", path: "/openapi.json", summary: "This API as OpenAPI 3.1.", answers: { 200: "the document" }, isOpen: true },
  { id: "healthz", method: "GET", path: "/healthz", summary: "The process runs.", answers: { 200: "{status: ok}" }, isOpen: true },
  {
    id: "readyz",
    method: "GET",
    path: "/readyz",
    summary: "The views are restored and followed.",
    answers: { 200: "ready", 503: "not yet, with what it waits for" },
    isOpen: true,
  },
  { id: "metrics", method: "GET", path: "/metrics", summary: "Prometheus metrics.", answers: { 200: "text", ...refused }, produces: "text/plain" },
];

function waitMs(text: string): number {
  const [, amount = "0", unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text) ?? [];
  return Number(amount) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? Number.NaN);
}
