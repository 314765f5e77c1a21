import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { z } from "zod";
import { type ErrorCode, errorCodes } from "../../../errors/catalogue.ts";
import { KnownError } from "../../../errors/known-error.ts";
import { sendJson } from "../http/api-error.ts";
import { readBody } from "../http/read-body.ts";

/** What is asked of a brake. */
export const brakeRequest = z.strictObject({
  route: z.string().min(1).max(200).describe("a route, or `*` for all"),
  reason: z.string().max(1_000).default("braked at the gateway"),
  actor: z.string().max(200).default("admin port"),
});
export type BrakeRequest = z.output<typeof brakeRequest>;

export interface AdminDeps {
  readonly token: string;
  readonly status: () => Promise<object>;
  /** @throws {KnownError} NOT_FOUND, CONFLICT, GATEWAY_UNREACHABLE when a worker does not obey */
  readonly brake: (asked: BrakeRequest) => Promise<unknown>;
}

const MAX_BODY = 16 * 1024;
const statusOf: Readonly<Partial<Record<ErrorCode, number>>> = {
  REQUEST_INVALID: 400,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  GATEWAY_UNREACHABLE: 503,
};

/**
 * The gateway's own admin port: it brakes and shows, with Kafka gone too. It can only move traffic down, and answers nothing without its token. Errors are
 * RFC 9457 documents with headgate's codes, as control's are.
 */
export function adminServer(deps: AdminDeps): Server {
  return createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    response.on("error", () => undefined);
    void answer(request, response, deps).catch((error: unknown) => sendProblem(response, error));
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, deps: AdminDeps): Promise<void> {
  const body = await readBody(request, MAX_BODY);
  if (body.kind === "aborted") return;
  if (!isAllowed(request.headers.authorization, deps.token)) {
    throw new KnownError("FORBIDDEN", "the admin port needs its token", { fix: "send Authorization: Bearer with the token of HEADGATE_GATEWAY_ADMIN_TOKEN" });
  }
  const asked = `${request.method} ${(request.url ?? "/").split("?", 1)[0]}`;
  if (asked === "GET /v1/status") sendJson(response, 200, await deps.status());
  else if (asked === "POST /v1/brakes") {
    if (body.kind !== "read") throw invalid(`the body is larger than ${MAX_BODY} bytes`);
    sendJson(response, 200, await deps.brake(parsed(body.bytes)));
  } else throw new KnownError("NOT_FOUND", `the admin port knows no ${asked}`, { fix: "it knows GET /v1/status and POST /v1/brakes" });
}

function parsed(bytes: Buffer): BrakeRequest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw invalid("the body is not JSON");
  }
  const result = brakeRequest.safeParse(value);
  if (result.success) return result.data;
  throw invalid(result.error.issues.map(({ path, message }) => `${path.join(".") || "the body"}: ${message}`).join("; "));
}

const invalid = (problem: string): KnownError => new KnownError("REQUEST_INVALID", problem, { fix: 'send {"route": "…", "reason": "…"}' });

/** Compares in a time that tells nothing of the token. */
function isAllowed(header: string | undefined, token: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(header ?? ""), hash(`Bearer ${token}`));
}

function sendProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const known = error instanceof KnownError ? error : new KnownError("CONFLICT", "the gateway failed", { fix: "look at its log" });
  const status = statusOf[known.code] ?? 500;
  const document = { type: `urn:headgate:error:${known.code}`, title: errorCodes[known.code], status, detail: known.message, code: known.code, fix: known.fix };
  sendJson(response, status, document, { "content-type": "application/problem+json" });
}
