import { z } from "zod";

const flag = (about: string) => z.enum(["true", "false"]).default("false").describe(about);

/** Environment that every role reads: where Kafka and the registry are, how to log in, and how the process behaves. */
export const connectionConfiguration = z.object({
  KAFKA_BROKERS: z
    .string()
    .regex(/^[^\s,]+:\d+(,[^\s,]+:\d+)*$/, "expected host:port, separated by commas")
    .describe("bootstrap brokers, host:port separated by commas"),
  SCHEMA_REGISTRY_URL: z.url({ protocol: /^https?$/ }).describe("base URL of the schema registry (Confluent's API); user:password@ for basic authentication"),
  HEADGATE_PREFIX: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,100}$/, "letters, digits, dot, underscore, hyphen")
    .default("headgate.")
    .describe("prefix of all topics, groups and transactional ids; one prefix is one headgate"),
  KAFKA_SSL: flag("true: TLS to the brokers"),
  KAFKA_SSL_CA: z.string().optional().describe("PEM of the authority that signed the brokers' certificates, when the system does not know it"),
  KAFKA_SSL_CERT: z.string().optional().describe("PEM of the client certificate, for mutual TLS"),
  KAFKA_SSL_KEY: z.string().optional().describe("PEM of the client certificate's key"),
  KAFKA_SASL_MECHANISM: z
    .enum(["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"])
    .optional()
    .describe("how to log in to the brokers; absent: not at all"),
  KAFKA_SASL_USERNAME: z.string().optional().describe("user name; with oauthbearer the client id"),
  KAFKA_SASL_PASSWORD: z.string().optional().describe("password; with oauthbearer the client secret"),
  KAFKA_SASL_TOKEN_URL: z.url().optional().describe("with oauthbearer: token endpoint (client credentials grant)"),
  KAFKA_SASL_SCOPE: z.string().optional().describe("with oauthbearer: scope to ask for"),
  LOG_LEVEL: z.enum(["fatal", "error", "warn", "info", "debug", "trace"]).default("info").describe("least severe level that is logged"),
  HEADGATE_PORT: z.coerce.number().int().min(0).max(65_535).optional().describe("port of /healthz, /readyz and /metrics; 0: any free port; absent: no port"),
  HEADGATE_HOST: z.string().default("127.0.0.1").describe("address that HEADGATE_PORT binds; 0.0.0.0 in containers"),
  HEADGATE_SESSION_TIMEOUT_MS: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(300_000)
    .default(10_000)
    .describe("after this long without a heartbeat a worker loses its tasks, ms (brokers accept 6000 to 1800000 by default)"),
  HEADGATE_ACCEPT_GAP: flag("true: go on where records were deleted before they were read, instead of ending with GAP"),
});

export type ConnectionConfig = z.output<typeof connectionConfiguration>;

/** Variables of the connection that depend on each other; reported like the others. */
export function connectionProblems(config: ConnectionConfig): string[] {
  const problems: string[] = [];
  const mechanism = config.KAFKA_SASL_MECHANISM;
  const needs = (name: keyof ConnectionConfig, why: string) => {
    if (config[name] === undefined) problems.push(`${name} is not set (${why})`);
  };
  if (mechanism !== undefined) {
    needs("KAFKA_SASL_USERNAME", `KAFKA_SASL_MECHANISM is ${mechanism}`);
    needs("KAFKA_SASL_PASSWORD", `KAFKA_SASL_MECHANISM is ${mechanism}`);
  }
  if (mechanism === "oauthbearer") needs("KAFKA_SASL_TOKEN_URL", "KAFKA_SASL_MECHANISM is oauthbearer");
  if (mechanism === undefined && config.KAFKA_SASL_PASSWORD !== undefined) problems.push("KAFKA_SASL_MECHANISM is not set (KAFKA_SASL_PASSWORD is)");
  if ((config.KAFKA_SSL_CERT === undefined) !== (config.KAFKA_SSL_KEY === undefined)) {
    problems.push("KAFKA_SSL_CERT and KAFKA_SSL_KEY belong together (only one is set)");
  }
  if (config.KAFKA_SSL === "false" && config.KAFKA_SSL_CA !== undefined) problems.push("KAFKA_SSL is false (KAFKA_SSL_CA is set)");
  return problems;
}
