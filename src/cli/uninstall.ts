import type { Command } from "commander";
import { securityOf } from "../runtime/kafka/security.ts";
import { findInstallation, type Installation, removeInstallation } from "../runtime/uninstall.ts";
import { act, type Cli } from "./cli.ts";
import { connectionOf } from "./connection.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { type AnswerOptions, answerMsOf, answerOption } from "./kafka-connection.ts";

interface UninstallOptions extends AnswerOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** `headgate uninstall`: what a prefix has on Kafka and in the registry, and its end. */
export function uninstallCommand(command: Command, cli: Cli): Command {
  command
    .description("remove all topics, groups and schemas of a prefix (KAFKA_BROKERS, SCHEMA_REGISTRY_URL, HEADGATE_PREFIX); stop all roles first")
    .option("--dry-run", "only list what there is")
    .option("--yes", "really remove it: rollouts, decisions and their evidence are gone then")
    .option("--json", "for machines");
  return act(answerOption(command), cli, (_args, options) => uninstall(cli, options));
}

async function uninstall(cli: Cli, options: UninstallOptions): Promise<ExitCode> {
  const config = connectionOf("uninstall", cli);
  const where = {
    brokers: config.KAFKA_BROKERS.split(","),
    registryUrl: config.SCHEMA_REGISTRY_URL,
    prefix: config.HEADGATE_PREFIX,
    security: securityOf(config),
    answerMs: answerMsOf(options),
  };
  if (options.yes === true && options.dryRun !== true) {
    const { transactionalIds } = await findInstallation(where);
    const { removed, left } = await removeInstallation(where);
    if (options.json === true) cli.terminal.out(JSON.stringify({ removed, left, transactionalIds }, null, 2));
    else {
      cli.terminal.out([...removed.map((name) => `removed  ${name}`), ...left.map(({ name, reason }) => `left     ${name}: ${reason}`)].join("\n"));
      cli.terminal.out(`${removed.length} removed, ${left.length} could not be; brokers forget ${transactionalIds.length} transactional ids by themselves`);
    }
    return left.length === 0 ? exitCode.ok : exitCode.failed;
  }
  const found = await findInstallation(where);
  cli.terminal.out(options.json === true ? JSON.stringify(found, null, 2) : listed(where.prefix, found));
  if (options.dryRun === true) return exitCode.ok;
  cli.terminal.err("nothing was removed: --yes removes what is listed, with all rollouts, decisions and evidence in it");
  return exitCode.usage;
}

function listed(prefix: string, { topics, groups, transactionalIds, subjects, foreign }: Installation): string {
  const section = (title: string, names: readonly string[]) => (names.length === 0 ? [] : [`${title} (${names.length})`, ...names.map((name) => `  ${name}`)]);
  const lines = [
    ...section("topics", topics),
    ...section(
      "consumer groups",
      groups.map(({ id, members }) => (members === 0 ? id : `${id}  ${members} running: stop it first`)),
    ),
    ...section("transactional ids, which brokers forget by themselves 7 days after their last use", transactionalIds),
    ...section("schema subjects", subjects),
    ...section(`left alone: begins with ${prefix}, but is not of this headgate`, foreign),
  ];
  return lines.length === 0 ? `nothing of the prefix ${prefix} is there` : lines.join("\n");
}
