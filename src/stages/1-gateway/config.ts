import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { schemaProblems } from "../../config/schema-problems.ts";
import { tokenKeys } from "../../config/token-key.ts";
import { RESERVED_PARAMETERS } from "../../domain/routing/merge-parameters.ts";
import type { Version } from "../../domain/routing/route-table.ts";
import type { SliceRule } from "../../domain/routing/slice-rules.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { CallerConfig } from "./access/callers.ts";
import { callersOf } from "./access/schema.ts";
import type { ConversationsOptions } from "./call/conversations.ts";
import type { ShadowLimits } from "./call/shadow-budget.ts";
import { type GatewayFile, gatewayFile } from "./gateway-file.ts";
import { compileSlices } from "./slice-schema.ts";
import { type UpstreamConfig, upstreamConfig } from "./upstream-config.ts";

/** Environment variables of the gateway. */
export const configuration = z.object({
  HEADGATE_GATEWAY_CONFIG: z.string().min(1).describe("Path of the YAML file with upstreams, routes and limits (docs/gateway.md)."),
  HEADGATE_GATEWAY_PORT: z.coerce.number().int().min(0).max(65_535).default(8080).describe("Port that callers use; 0 takes a free one."),
  HEADGATE_GATEWAY_HOST: z.string().min(1).default("127.0.0.1").describe("Address to listen on."),
  HEADGATE_GATEWAY_DATA: z
    .string()
    .min(1)
    .optional()
    .describe("Directory for what a restart must not forget (routing, brakes, records not yet written); instead of `data` in the file."),
  HEADGATE_GATEWAY_ADMIN_PORT: z.coerce
    .number()
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe("Port of the gateway's own admin API (brakes, status); absent: `admin.port` of the file, or none."),
  HEADGATE_GATEWAY_ADMIN_HOST: z.string().min(1).optional().describe("Address of the admin port; absent: `admin.host` of the file, or 127.0.0.1."),
  HEADGATE_GATEWAY_ADMIN_TOKEN: z.string().min(16).optional().describe("Bearer token that the admin port asks for, 16 characters or more."),
  HEADGATE_GATEWAY_LAME_DUCK_MS: z.coerce
    .number()
    .int()
    .min(0)
    .max(600_000)
    .default(0)
    .describe("After SIGTERM, how long new calls are still served while readiness is down, so that a load balancer can turn away first, ms."),
  HEADGATE_GATEWAY_DRAIN_MS: z.coerce
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(8_000)
    .describe("After that, how long running calls and streams may take to finish before they are cut, ms."),
  HEADGATE_SUBJECT_KEY: z
    .string()
    .min(1)
    .optional()
    .describe("Secret, 32 random characters or more, with which subjects are hashed; the same on all gateways, or a subject changes arm between them."),
  HEADGATE_TOKEN_KEY: tokenKeys,
});

export interface RoutePolicy {
  readonly bodies: "full" | "none";
  readonly shield: "none" | "baseline";
  readonly maxInFlight: number;
  readonly maxBodyBytes: number;
}
export interface RouteConfig extends RoutePolicy {
  readonly baseline: Version;
}
export interface GatewayConfig {
  /** As the file has it; see `adminConfigOf`. */
  readonly admin: GatewayFile["admin"];
  /** Directory for what a restart must not forget; null: nothing is kept. */
  readonly data: string | null;
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>;
  readonly routes: ReadonlyMap<string, RouteConfig>;
  readonly defaults: RoutePolicy;
  /** null: everybody may call. */
  readonly callers: readonly CallerConfig[] | null;
  /** SHA-256 of the secret that allows pins, in hex; null: there is none. */
  readonly pinSecretHash: string | null;
  readonly slices: readonly SliceRule[];
  readonly accessLog: boolean;
  readonly conversations: ConversationsOptions;
  readonly subject: GatewayFile["subject"];
  readonly maxInFlight: number;
  readonly maxBodyBytesInFlight: number;
  readonly maxAnswerBytesInFlight: number;
  readonly uploads: GatewayFile["uploads"];
  readonly callerIdleMs: number;
  readonly shadow: ShadowLimits & { readonly maxInFlight: number };
  readonly log: { readonly off: boolean; readonly maxRecords: number; readonly maxBytes: number; readonly spoolMaxBytes: number };
}

type Env = Readonly<Record<string, string | undefined>>;
const invalid = (path: string, problems: readonly string[], cause?: unknown): KnownError =>
  new KnownError("CONFIG_INVALID", `the gateway's configuration ${path} cannot be used:\n  ${problems.join("\n  ")}`, {
    fix: "correct the file; docs/gateway.md describes every field",
    cause,
  });

function resolve(path: string, file: GatewayFile, env: Env): GatewayConfig {
  const problems: string[] = [];
  // One dead upstream must leave room for the others.
  const maxOfUpstream = Object.keys(file.upstreams).length > 1 ? Math.ceil(file.maxInFlight / 2) : file.maxInFlight;
  const upstreams = Object.entries(file.upstreams).map(([name, given]): [string, UpstreamConfig] => [
    name,
    upstreamConfig(name, given, { env, problems, maxInFlight: maxOfUpstream }),
  ]);
  const defaults = { bodies: file.defaults.bodies, shield: file.defaults.shield, ...file.defaults.limits };
  const routes = Object.entries(file.routes).map(([name, { baseline, bodies, shield, limits }]): [string, RouteConfig] => {
    for (const parameter of Object.keys(baseline.parameters)) {
      if (RESERVED_PARAMETERS.includes(parameter)) problems.push(`routes.${name}.baseline.parameters: may not set ${parameter}`);
    }
    const { version, upstream, model, parameters } = baseline;
    const static_: Version = { name: version, upstream, model, parameters, systemTemplate: baseline.systemTemplate ?? null };
    return [name, { baseline: static_, ...defaults, ...definedOf({ bodies, shield }), ...definedOf(limits ?? {}) }];
  });
  if (problems.length > 0) throw invalid(path, problems);
  const { data = null, admin, subject, maxInFlight, maxBodyBytesInFlight, maxAnswerBytesInFlight, uploads, callerIdleMs, shadow, log } = file;
  const access = {
    callers: callersOf(file.callers),
    pinSecretHash: file.pins?.secretHash ?? null,
    slices: compileSlices(file.slices),
    accessLog: file.accessLog,
    conversations: file.conversations,
  };
  const budget = { maxPerMinute: shadow.maxPerMinute ?? null, maxUsdPerHour: shadow.maxUsdPerHour ?? null };
  const limits = { maxInFlight, maxBodyBytesInFlight, maxAnswerBytesInFlight, uploads, callerIdleMs, shadow: { ...shadow, ...budget } };
  return { data, admin, upstreams: new Map(upstreams), routes: new Map(routes), defaults, ...access, subject, ...limits, log };
}

/** Fields of an object that are not undefined. */
function definedOf<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/**
 * Reads the text of the gateway's file. Keys are taken from `env` and files here, once.
 *
 * @param path only for messages
 * @throws {KnownError} CONFIG_INVALID, naming every field that is wrong
 */
export function parseGatewayFile(path: string, text: string, env: Env): GatewayConfig {
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    // Behind the first line the message quotes the file, which can hold keys; it goes to the log and to whoever asks for remarks.
    const [where = ""] = (error as Error).message.split("\n", 1);
    throw invalid(path, [`it is not YAML: ${where.replace(/:$/, "")}`]);
  }
  const parsed = gatewayFile.safeParse(document ?? {});
  if (!parsed.success) {
    const problems = schemaProblems(gatewayFile, parsed.error.issues).map(
      (problem) => `${problem.path === "" ? "the file" : problem.path}: ${problem.message}`,
    );
    throw invalid(path, problems);
  }
  return resolve(path, parsed.data, env);
}

/** Reads the gateway's file from disk. @throws {KnownError} CONFIG_INVALID */
export function readGatewayFile(path: string, env: Env): GatewayConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(path, [`it cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`], error);
  }
  return parseGatewayFile(path, text, env);
}
