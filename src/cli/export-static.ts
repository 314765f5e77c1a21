import type { Command } from "commander";
import { parseDocument } from "yaml";
import { type RoutingTable, routing } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import { act, type Cli } from "./cli.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { type AnswerOptions, answerOption, withLog } from "./kafka-connection.ts";

interface ExportOptions extends AnswerOptions {
  readonly into?: string;
}

/** `headgate export` */
export function exportCommand(command: Command, cli: Cli): Command {
  command.description("what a running headgate knows, for files");
  const exporting = command
    .command("static")
    .description(
      "print the baselines that `routing` has now, so that gateways serve them without Kafka and without a snapshot; without --into only `routes`: a gateway needs `upstreams` too",
    )
    .option("--into <file>", "print this gateway's file with its baselines replaced, everything else and the comments as they are");
  act(answerOption(exporting), cli, (_args, options) => exportStatic(cli, options as ExportOptions));
  return command;
}

async function exportStatic(cli: Cli, options: ExportOptions): Promise<ExitCode> {
  const { into } = options;
  const existing = into === undefined ? "" : await cli.read(into);
  return withLog(cli, { command: "export static", options }, async (log) => {
    const table = log.openTable(routing);
    await table.ready;
    const tables = [...table.entries()].map(([, value]) => value);
    if (tables.length === 0) {
      throw new KnownError("NOT_FOUND", `${log.prefix}${routing.name} holds no routing table`, {
        fix: "check HEADGATE_PREFIX; the first apply of a route writes its first table",
      });
    }
    cli.terminal.out(withBaselines(existing, tables).trimEnd());
    return exitCode.ok;
  });
}

/**
 * A gateway's file in which each route has the baseline of its table.
 *
 * @param existing the file before; empty: none, and what comes out is its `routes` only, which no gateway takes without `upstreams`
 * @throws {KnownError} CONFIG_INVALID when it is not YAML
 */
export function withBaselines(existing: string, tables: readonly RoutingTable[]): string {
  const document = parseDocument(existing);
  const [error] = document.errors;
  if (error !== undefined)
    throw new KnownError("CONFIG_INVALID", `the file is not YAML: ${error.message}`, { fix: "give the gateway's file (HEADGATE_GATEWAY_CONFIG)" });
  if (document.contents === null) document.contents = document.createNode({}) as unknown as typeof document.contents;
  for (const table of tables.toSorted((a, b) => (a.route < b.route ? -1 : 1))) {
    const version = table.versions.find(({ name }) => name === table.baseline);
    if (version === undefined) continue;
    const { name, upstream, model, parameters, systemTemplate } = version;
    const parsed = JSON.parse(parameters) as object;
    const baseline = {
      version: name,
      upstream,
      model,
      ...(Object.keys(parsed).length === 0 ? {} : { parameters: parsed }),
      ...(systemTemplate === null ? {} : { systemTemplate }),
    };
    if (!document.hasIn(["routes"])) document.setIn(["routes"], document.createNode({}));
    if (!document.hasIn(["routes", table.route])) document.setIn(["routes", table.route], document.createNode({}));
    document.setIn(["routes", table.route, "baseline"], document.createNode(baseline));
  }
  return document.toString();
}
