import { type Command, Option } from "commander";
import { parse } from "yaml";
import { z } from "zod";
import { type RoutingTable, routing } from "../../../topics/index.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { parseParameters } from "../../domain/routing/merge-parameters.ts";
import type { Version } from "../../domain/routing/route-table.ts";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { type AnswerOptions, answerOption, withLog } from "../kafka-connection.ts";
import { plain } from "../terminal.ts";
import { ejectAs, type Format, formats } from "./formats.ts";

interface EjectOptions extends AnswerOptions {
  readonly format: Format;
  readonly config?: string;
  readonly to?: string;
  readonly offline?: boolean;
}

/** What is read of the gateway's file; the gateway itself checks all of it. */
const gatewayFile = z.object({
  upstreams: z.record(
    z.string(),
    z.object({
      baseUrl: z.string(),
      apiKeyEnv: z.string().optional(),
      apiKeyFile: z.string().optional(),
      passThroughKeys: z.boolean().optional(),
      headers: z.record(z.string(), z.string()).optional(),
      apiKeyHeader: z.string().optional(),
      tls: z.record(z.string(), z.string()).optional(),
    }),
  ),
  routes: z
    .record(
      z.string(),
      z.object({
        baseline: z.object({
          version: z.string(),
          upstream: z.string(),
          model: z.string(),
          parameters: z.record(z.string(), z.unknown()).default({}),
          systemTemplate: z.string().nullable().default(null),
        }),
      }),
    )
    .default({}),
});
type GatewayFile = z.output<typeof gatewayFile>;

/** `headgate eject`: how a route goes on without headgate. */
export function ejectCommand(command: Command, cli: Cli): Command {
  command
    .description("print a static configuration that serves a route as its baseline does now, for leaving headgate; changes nothing (KAFKA_BROKERS ...)")
    .argument("<route>", "a route")
    .addOption(
      new Option("--format <format>", "gateway: the gateway's file; litellm: a LiteLLM proxy's; env: variables for callers without a proxy")
        .choices(formats)
        .default("gateway"),
    )
    .option("--config <file>", "the gateway's file, which alone knows addresses (HEADGATE_GATEWAY_CONFIG)")
    .option("--to <name>", "another version of the routing table than its baseline")
    .option("--offline", "take the version from the gateway's file, when Kafka is gone");
  return act(answerOption(command), cli, ([route = ""], options) => eject(cli, route, options as unknown as EjectOptions));
}

async function eject(cli: Cli, route: string, options: EjectOptions): Promise<ExitCode> {
  const path = options.config ?? cli.env.HEADGATE_GATEWAY_CONFIG;
  if (path === undefined) {
    throw new KnownError("CONFIG_INVALID", "the addresses of upstreams stand in the gateway's file, and none is named", {
      fix: "give --config gateway.yaml, or set HEADGATE_GATEWAY_CONFIG",
    });
  }
  const text = await cli.read(path);
  const file = readGatewayFile(path, text);
  const table = options.offline === true ? undefined : await readTable(cli, route, options);
  const version = chosen(route, table, file, options.to);
  const upstream = file.upstreams[version.upstream];
  if (upstream === undefined) {
    throw new KnownError("CONFIG_INVALID", `${path} does not hold the upstream ${version.upstream} of version ${version.name}`, {
      fix: "give the file that the gateways run with",
    });
  }
  const { text: configuration, client } = ejectAs(options.format, { route, version, upstream, gatewayFile: text });
  cli.terminal.out(configuration.trimEnd());
  cli.terminal.err(`${plain(route)} is served by ${plain(version.name)} there${whereItStands(table, version)}`);
  for (const sentence of client) cli.terminal.err(`- ${plain(sentence)}`);
  return exitCode.ok;
}

function readGatewayFile(path: string, text: string): GatewayFile {
  const parsed = gatewayFile.safeParse(parse(text) ?? {});
  if (parsed.success) return parsed.data;
  const problems = schemaProblems(gatewayFile, parsed.error.issues).map((problem) => `${problem.path}: ${problem.message}`);
  throw new KnownError("CONFIG_INVALID", `${path} is no gateway file:\n  ${problems.join("\n  ")}`, {
    fix: "correct it; docs/gateway.md describes every field",
  });
}

/** The route's table on Kafka as it stands now; undefined when it never had one. */
async function readTable(cli: Cli, route: string, options: AnswerOptions): Promise<RoutingTable | undefined> {
  return withLog(cli, { command: "eject", options }, async (log) => {
    const tables = log.openTable(routing);
    await tables.ready;
    return tables.get(route);
  });
}

function chosen(route: string, table: RoutingTable | undefined, file: GatewayFile, asked: string | undefined): Version {
  const name = asked ?? table?.baseline;
  const served = table?.versions.find((version) => version.name === name);
  if (served !== undefined) return { ...served, parameters: parseParameters(served.parameters) ?? {}, systemTemplate: served.systemTemplate ?? null };
  const configured = file.routes[route]?.baseline;
  if (table === undefined && configured !== undefined && (asked === undefined || asked === configured.version))
    return { ...configured, name: configured.version };
  const known = table?.versions.map((version) => version.name) ?? (configured === undefined ? [] : [configured.version]);
  throw new KnownError("NOT_FOUND", known.length === 0 ? `there is no route ${route}` : `${route} has no version ${asked}`, {
    fix: known.length === 0 ? "`headgate rollout list` shows all routes" : `it has ${known.join(", ")}`,
  });
}

function whereItStands(table: RoutingTable | undefined, version: Version): string {
  if (table === undefined) return ", as its gateway file says";
  const others = new Map<string, number>();
  for (const range of table.ranges) if (range.version !== version.name) others.set(range.version, (others.get(range.version) ?? 0) + range.to - range.from);
  const shares = [...others].map(([name, buckets]) => `${plain(name)} has ${buckets / 100} % of subjects until you switch`);
  return shares.length === 0 ? `, as to all now (epoch ${table.epoch})` : ` (epoch ${table.epoch}; ${shares.join(", ")})`;
}
