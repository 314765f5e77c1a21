import { z } from "zod";
import { callers, pins } from "./access/schema.ts";
import { sliceRules } from "./slice-schema.ts";

/**
 * The gateway's own file (`HEADGATE_GATEWAY_CONFIG`): which upstreams exist, how a route is served before it has a routing table, and
 * limits. Addresses and keys live here and nowhere else: a routing record can only name an upstream, so it cannot make the gateway call
 * another host.
 */
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}$/, "must start with a letter or digit and hold only letters, digits and . _ @ : / -");
const durationMs = (fallback: number, about: string) => z.int().min(1).max(86_400_000).default(fallback).describe(about);

const baseUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), "must be an http or https address, for example https://api.openai.com/v1")
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).password === ""), "must not hold a user or password");

const price = z.strictObject({
  inputPerMillion: z.number().min(0).describe("USD for a million input tokens"),
  outputPerMillion: z.number().min(0).describe("USD for a million output tokens"),
});

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

const tls = z.strictObject({
  caFile: z.string().min(1).optional().describe("PEM file of the authorities that sign the upstream's certificate, instead of the public ones"),
  certFile: z.string().min(1).optional().describe("PEM file of the gateway's own certificate"),
  keyFile: z.string().min(1).optional().describe("PEM file of its key"),
  serverName: z.string().min(1).optional().describe("name that the upstream's certificate must have, when it is not the one of the address"),
  insecure: z.literal("accept-any-certificate").optional().describe("accept-any-certificate: whoever answers is trusted with prompts and keys; for tests only"),
});

const upstream = z
  .strictObject({
    baseUrl: baseUrl.describe("address to which /chat/completions is appended, as the openai SDK's baseURL"),
    apiKeyEnv: z.string().min(1).optional().describe("environment variable that holds the upstream's key"),
    apiKeyFile: z.string().min(1).optional().describe("file that holds the upstream's key"),
    apiKeyHeader: z
      .string()
      .regex(HEADER_NAME)
      .default("authorization")
      .describe("header that carries the key: authorization, as a bearer token, or another, as it is (api-key for Azure OpenAI)"),
    tls: tls.optional(),
    passThroughKeys: z.boolean().default(false).describe("send the caller's Authorization upstream; only for an upstream without a key of its own"),
    forwardHeaders: z
      .array(z.string().regex(HEADER_NAME))
      .default([])
      .describe("callers' headers that go upstream although they are named like secrets or tell who the caller is"),
    dropHeaders: z.array(z.string().regex(HEADER_NAME)).default([]).describe("callers' headers that do not go upstream"),
    usageInStreams: z.boolean().default(true).describe("ask for the usage of streams (stream_options.include_usage); false for an upstream that refuses that"),
    direct: z.boolean().default(false).describe("callers may name its models past the routes, as <upstream>/<model>; such calls are not recorded"),
    headers: z.record(z.string().regex(HEADER_NAME), z.string()).default({}).describe("headers added to each request"),
    timeouts: z
      .strictObject({
        connectMs: durationMs(5_000, "to open a connection"),
        headersMs: durationMs(300_000, "until the response starts"),
        idleMs: durationMs(120_000, "between two chunks of the response"),
        totalMs: durationMs(900_000, "for the whole call"),
      })
      .prefault({}),
    retries: z
      .strictObject({
        max: z.int().min(0).max(10).default(1).describe("attempts after the first; 0: none"),
        on: z
          .array(z.enum(["connect", "reset", "429", "5xx"]))
          .default(["connect"])
          .describe("failures that are repeated before the caller saw anything"),
        budgetPercent: z.number().min(0).max(100).default(10).describe("retries as a share of the version's calls"),
        floorPerSecond: z.number().min(0).max(1_000).default(1).describe("retries each second that are allowed however few calls there are"),
        maxWaitMs: durationMs(5_000, "longest pause before a retry; an upstream that asks for a longer one is not asked again"),
      })
      .prefault({}),
    connections: z.int().min(1).max(65_536).default(2_048).describe("connections kept to this upstream at most"),
    maxInFlight: z
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe(
        "calls of all routes at the same time; more fail as the version's error, 503. A mirrored call is sent only while half of them are free; with 1, while there is none. Half of the total where there are several upstreams, else the total",
      ),
    prices: z.record(z.string(), price).default({}).describe("price by model name, used when the upstream reports no cost"),
  })
  .refine((given) => given.apiKeyEnv === undefined || given.apiKeyFile === undefined, "give apiKeyEnv or apiKeyFile, not both");

const limits = z.strictObject({
  maxInFlight: z.int().min(1).max(1_000_000).default(512).describe("calls of one route at the same time; more are answered 429"),
  maxBodyBytes: z
    .int()
    .min(1)
    .max(512 * 1024 * 1024)
    .default(32 * 1024 * 1024)
    .describe("largest request body accepted"),
});
const bodies = z.enum(["full", "none"]);

const shield = z.enum(["none", "baseline"]);

const route = z.strictObject({
  baseline: z
    .strictObject({
      version: name.describe("name of the version, for example gpt-a@2026-05"),
      upstream: name,
      model: z.string().min(1).describe("model name sent upstream"),
      parameters: z.record(z.string(), z.json()).default({}).describe("merged over the caller's request"),
      systemTemplate: z.string().optional().describe("system message put before the caller's messages"),
    })
    .describe("what serves the route until it has a routing table"),
  bodies: bodies.optional().describe("whether request and response bodies are logged: full or none"),
  shield: shield.optional().describe("baseline: when the candidate fails before its first byte, the baseline answers, and the failure is recorded"),
  limits: limits.partial().optional(),
});

export const gatewayFile = z
  .strictObject({
    data: z.string().min(1).optional().describe("directory for what a restart must not forget: routing, brakes, records not yet written"),
    admin: z
      .strictObject({
        port: z.int().min(0).max(65_535).describe("0 takes a free one"),
        host: z.string().min(1).optional().describe("address to listen on; 127.0.0.1 by default"),
        tokenEnv: z.string().min(1).optional().describe("environment variable that holds the token"),
        tokenFile: z.string().min(1).optional().describe("file that holds the token"),
      })
      .refine((given) => given.tokenEnv === undefined || given.tokenFile === undefined, "give tokenEnv or tokenFile, not both")
      .optional()
      .describe("the gateway's own port for brakes and status"),
    upstreams: z.record(name, upstream).refine((all) => Object.keys(all).length > 0, "must name at least one upstream"),
    routes: z.record(name, route).default({}),
    callers,
    pins,
    slices: sliceRules,
    defaults: z
      .strictObject({ bodies: bodies.default("full"), shield: shield.default("none"), limits: limits.prefault({}) })
      .prefault({})
      .describe("for routes that do not say otherwise, and for routes that only have a routing table"),
    accessLog: z.boolean().default(false).describe("one line per request in the gateway's own log, without bodies and subjects"),
    subject: z
      .array(z.enum(["header", "safety_identifier", "user", "conversation", "previous_response"]))
      .default(["header", "safety_identifier", "user", "conversation", "previous_response"])
      .describe("where the subject of a call is looked for, in this order; without any each request is its own subject"),
    conversations: z
      .strictObject({
        max: z
          .int()
          .min(0)
          .max(10_000_000)
          .default(100_000)
          .describe("running conversations, and stored responses, that each process remembers, some 500 bytes each; 0: a step up moves them at once"),
        idleMs: durationMs(1_800_000, "after which a silent conversation is over"),
      })
      .prefault({})
      .describe("a conversation keeps its version when a step up adds its subject to the candidate"),
    maxInFlight: z.int().min(1).max(1_000_000).default(2_048).describe("calls at the same time in total; more are answered 503"),
    maxAnswerBytesInFlight: z
      .int()
      .min(1)
      .default(256 * 1024 * 1024)
      .describe("bytes of all running answers that are kept for the log; what does not fit is passed on and recorded as cut"),
    maxBodyBytesInFlight: z
      .int()
      .min(1)
      .default(256 * 1024 * 1024)
      .describe("bytes of the request bodies of all running calls, as they came; a call that does not fit is answered 503"),
    uploads: z
      .strictObject({
        max: z.int().min(1).max(1_000_000).default(2_048).describe("request bodies read at the same time; more are answered 503"),
        idleMs: durationMs(30_000, "without data, after which a body that is not complete is answered 408"),
        minBytesPerSecond: z
          .int()
          .min(0)
          .max(1_000_000_000)
          .default(1_000)
          .describe("average of a body that takes longer than idleMs; slower ones are answered 408"),
        callerSharePercent: z.number().min(1).max(100).default(50).describe("share of maxBodyBytesInFlight that one of the listed callers may hold"),
      })
      .prefault({})
      .describe("bodies that come slowly or not at all"),
    callerIdleMs: durationMs(60_000, "a caller that takes nothing of its answer for so long is left; its call is cancelled"),
    shadow: z
      .strictObject({
        maxInFlight: z.int().min(0).max(1_000_000).default(64).describe("mirrored calls at the same time; more are dropped"),
        maxPerMinute: z.int().min(1).max(10_000_000).optional().describe("mirrored calls in a minute; more are dropped; absent: no limit"),
        maxUsdPerHour: z
          .number()
          .min(0)
          .optional()
          .describe(
            "cost of mirrored calls in an hour, USD, as their upstream reports it or its prices say; when it is spent, calls are not mirrored; absent: no limit",
          ),
      })
      .prefault({}),
    log: z
      .preprocess(
        (value) => (value === "off" ? { off: true } : value),
        z.strictObject({
          off: z.boolean().default(false).describe("no records at all: routing is obeyed, but nothing is evidence; written `log: off`"),
          maxRecords: z.int().min(1).max(10_000_000).default(50_000).describe("records buffered while the log cannot take them; more are dropped"),
          maxBytes: z
            .int()
            .min(1)
            .default(64 * 1024 * 1024)
            .describe("the same, in bytes"),
          spoolMaxBytes: z
            .int()
            .min(0)
            .default(1024 * 1024 * 1024)
            .describe("bytes on disk for records that memory should not keep, with a data directory; 0: none"),
        }),
      )
      .prefault({}),
  })
  .superRefine((file, context) => {
    for (const [upstreamName, { passThroughKeys }] of Object.entries(file.upstreams)) {
      if (!passThroughKeys || file.callers === undefined) continue;
      const message = "would send the callers' keys for this gateway to the upstream; give it a key of its own";
      context.addIssue({ code: "custom", path: ["upstreams", upstreamName, "passThroughKeys"], message });
    }
    for (const [routeName, { baseline }] of Object.entries(file.routes)) {
      if (file.upstreams[baseline.upstream] !== undefined) continue;
      const known = Object.keys(file.upstreams).join(", ");
      context.addIssue({ code: "custom", path: ["routes", routeName, "baseline", "upstream"], message: `names no upstream of this file (${known})` });
    }
  });
export type GatewayFile = z.output<typeof gatewayFile>;
