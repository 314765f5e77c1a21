import type { Command } from "commander";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { plain } from "../terminal.ts";
import { writeBundle } from "./bundle.ts";
import { openKafkaHistory } from "./kafka-history.ts";

interface ExportOptions {
  readonly out: string;
  readonly json?: boolean;
}

/** `headgate evidence` */
export function evidenceCommand(command: Command, cli: Cli): Command {
  command.description("the decider's journal, as files");
  const exporting = command
    .command("export")
    .description("write a rollout's or a route's history into one file, from which `headgate replay --bundle` recomputes it without Kafka")
    .argument("<rollout|route>", "a route, or the id of a rollout: its route's history from the beginning to its end")
    .requiredOption("--out <file>", "the file to write, for example support-answer.jsonl.gz")
    .option("--json", "for machines");
  act(exporting, cli, ([name = ""], options) => exportHistory(cli, name, options as unknown as ExportOptions));
  return command;
}

async function exportHistory(cli: Cli, name: string, options: ExportOptions): Promise<ExitCode> {
  const history = await openKafkaHistory(cli, name);
  try {
    if (history.events.size === 0 && history.evidenceFromOffset === 0) {
      throw new KnownError("NOT_FOUND", `${history.from} holds nothing of ${name}`, { fix: "headgate rollout list shows the routes; check the prefix" });
    }
    const exported = await writeBundle(options.out, history, cli.now());
    if (options.json === true) cli.terminal.out(JSON.stringify({ file: options.out, ...exported }));
    else {
      const what = `${exported.evidence} evidence records, ${exported.gateEvents} gate events, ${exported.catalog} texts`;
      cli.terminal.out(`${plain(exported.route)}: ${what} in ${options.out}\n  digest ${exported.digest}`);
    }
    return exitCode.ok;
  } finally {
    await history.close();
  }
}
