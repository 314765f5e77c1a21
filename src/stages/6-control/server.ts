import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import type { Logger } from "pino";
import type { z } from "zod";
import { schemaProblems } from "../../config/schema-problems.ts";
import { KnownError } from "../../errors/known-error.ts";
import { admission } from "./admission.ts";
import { answers, type Control } from "./answers.ts";
import type { EventFeed } from "./event-feed.ts";
import { serveEvents } from "./event-stream.ts";
import { openapi } from "./openapi.ts";
import { type Operation, operations } from "./operations.ts";
import { problemOf } from "./problem.ts";

/** Everything that the API is made of; the clock and ids come from outside, so that tests can fix them. */
export interface ServerParts extends Control {
  readonly feed: EventFeed;
  /** Empty: open, on loopback only. */
  readonly tokens: readonly string[];
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  readonly version: string;
  readonly log: Logger;
  /** Between two heartbeat comments of an event stream, ms. */
  readonly heartbeatMs: number;
}

/** A request after its path, query and body were checked. */
export interface Asked {
  readonly operation: Operation;
  readonly route: string;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly actor: string;
}

/** Largest request body, bytes. */
const bodyLimit = 1024 * 1024;

/** The HTTP API, not yet listening. */
export function server(parts: ServerParts): FastifyInstance {
  const app = fastify({ bodyLimit, routerOptions: { maxParamLength: 1024 }, forceCloseConnections: true });
  app.removeContentTypeParser("text/plain");
  for (const type of ["application/yaml", "application/x-yaml", "text/yaml"]) {
    app.addContentTypeParser(type, { parseAs: "string" }, (_request, text, done) => done(null, text));
  }
  app.setErrorHandler((error, request, reply) => refuse(error, request, reply, parts.log));
  app.setNotFoundHandler((request, reply) =>
    refuse(
      new KnownError("NOT_FOUND", `there is no ${request.method} ${request.url.split("?")[0]}`, { fix: "GET /openapi.json lists every route" }),
      request,
      reply,
      parts.log,
    ),
  );
  guard(app, parts.tokens);
  const documentation = openapi(parts.version);
  for (const operation of operations) register(app, operation, parts, documentation);
  return app;
}

function guard(app: FastifyInstance, tokens: readonly string[]): void {
  const admit = admission(tokens);
  const open = new Set(operations.filter((operation) => operation.isOpen === true).map((operation) => operation.path));
  app.addHook("onRequest", async (request, reply) => {
    const { authorization, host, origin } = request.headers;
    if (request.routeOptions.url !== undefined && open.has(request.routeOptions.url)) return;
    const verdict = admit({ authorization, host, origin });
    if (verdict.kind === "admitted") return;
    if (verdict.kind === "forbidden") throw new KnownError("FORBIDDEN", verdict.problem, { fix: verdict.fix });
    reply.header("www-authenticate", 'Bearer realm="headgate"');
    throw new KnownError("FORBIDDEN", "the request carries no bearer token that control knows", {
      fix: "send Authorization: Bearer TOKEN; on the command line: --token-file FILE",
      details: { status: 401 },
    });
  });
}

function register(app: FastifyInstance, operation: Operation, parts: ServerParts, documentation: unknown): void {
  const url = operation.path;
  const method = operation.method;
  switch (operation.id) {
    case "openapi":
      app.route({ method, url, handler: async () => documentation });
      return;
    case "metrics":
      app.route({ method, url, handler: async (_request, reply) => reply.type(parts.metrics.contentType).send(await parts.metrics.metrics()) });
      return;
    case "healthz":
      app.route({ method, url, handler: async () => ({ status: "ok" }) });
      return;
    case "readyz":
      app.route({
        method,
        url,
        handler: async (_request, reply) => (parts.views.isReady() ? { status: "ready" } : reply.code(503).send({ status: "starting", waitsFor: ["views"] })),
      });
      return;
    case "followEvents":
      app.route({ method, url, handler: (request, reply) => stream(request, reply, operation, parts) });
      return;
    default:
      app.route({ method, url, handler: (request, reply) => answer(request, reply, operation, parts) });
  }
}

async function answer(request: FastifyRequest, reply: FastifyReply, operation: Operation, parts: ServerParts): Promise<unknown> {
  if (!parts.views.isReady()) {
    throw new KnownError("KAFKA_UNREACHABLE", "control is still reading the topics", { fix: "wait for /readyz, then repeat the request" });
  }
  const find = answers[operation.id];
  if (find === undefined) throw new Error(`operation ${operation.id} has no answer`);
  const asked = read(request, operation);
  const { status, body } = await find(asked, parts);
  if (operation.method !== "GET") parts.log.info({ operation: operation.id, route: asked.route, actor: asked.actor, status }, "wrote");
  return reply.code(status).send(body);
}

async function stream(request: FastifyRequest, reply: FastifyReply, operation: Operation, parts: ServerParts): Promise<void> {
  const { route } = read(request, operation).query as { route?: string };
  const lastEventId = request.headers["last-event-id"];
  reply.hijack();
  serveEvents(reply.raw, parts.feed, { route, lastEventId: typeof lastEventId === "string" ? lastEventId : undefined, heartbeatMs: parts.heartbeatMs });
}

function read(request: FastifyRequest, operation: Operation): Asked {
  const query = operation.query === undefined ? {} : checked(operation.query, request.query, "query");
  const body = operation.body === undefined ? {} : checked(operation.body, bodyOf(request, operation), "body");
  const { route: inPath } = request.params as { route?: string };
  const { route: inQuery } = query as { route?: string };
  const header = request.headers["x-headgate-actor"];
  const inHeader = typeof header === "string" && header !== "" ? header.slice(0, 200) : undefined;
  return { operation, route: inPath ?? inQuery ?? "", query, body, actor: (body as { actor?: string }).actor ?? inHeader ?? "api" };
}

/** A bare YAML document is the spec; no body is an empty one. */
function bodyOf(request: FastifyRequest, operation: Operation): unknown {
  if (typeof request.body !== "string") return request.body ?? {};
  if (operation.yamlBody === true) return { spec: request.body };
  throw new KnownError("REQUEST_INVALID", "this route takes JSON", { fix: "send application/json", details: { status: 415 } });
}

function checked(shape: z.ZodObject, value: unknown, where: string): Readonly<Record<string, unknown>> {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = schemaProblems(shape, parsed.error.issues);
  throw new KnownError("REQUEST_INVALID", `the ${where} is not as described: ${errors.map(({ path, message }) => `${path} ${message}`.trim()).join("; ")}`, {
    fix: "GET /openapi.json describes what is expected",
    details: { errors },
  });
}

function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const problem = problemOf(error);
  const about = { method: request.method, path: request.routeOptions.url ?? "unknown", code: problem.code };
  if (problem.status >= 500) log.error({ ...about, err: error }, "a request failed");
  else log.debug({ ...about, status: problem.status }, "a request was refused");
  return reply
    .code(problem.status)
    .type("application/problem+json")
    .send(JSON.stringify({ ...problem, instance: request.url.split("?")[0] }));
}
