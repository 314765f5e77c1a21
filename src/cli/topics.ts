import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { asyncApi } from "../../topics/asyncapi.ts";
import { allTopics, deadLettered, type Topic } from "../../topics/index.ts";
import { connectionConfiguration } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import { KnownError } from "../errors/known-error.ts";
import { securityOf } from "../runtime/kafka/security.ts";
import { applyTopics, type Difference, diffTopics, renderTopics, type TopicsOptions } from "../runtime/topic-admin.ts";
import { type PartitionsOption, partitionCounts, planTopics } from "../runtime/topic-plan.ts";
import { act, type Cli } from "./cli.ts";
import { connectionOf } from "./connection.ts";
import { parseDuration } from "./duration.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { type AnswerOptions, answerMsOf, answerOption } from "./kafka-connection.ts";
import { columns } from "./show/columns.ts";

interface SizeOptions extends AnswerOptions {
  readonly partitions?: string;
  readonly replicationFactor?: string;
}
interface ApplyOptions extends SizeOptions {
  readonly dryRun?: boolean;
  readonly wait?: string;
}
interface DiffOptions extends SizeOptions {
  readonly as?: "kafka-topics" | "strimzi" | "terraform";
}

const usualReplicas = 3;
const retryEveryMs = 1_000;
/** What passes by itself while an installation starts. */
const passing: ReadonlySet<string> = new Set(["KAFKA_UNREACHABLE", "REGISTRY_UNREACHABLE"]);

/** `headgate topics`: what a prefix needs on a cluster. */
export function topicsCommand(command: Command, cli: Cli): Command {
  command.description("create, check and describe the topics and schemas of a prefix (KAFKA_BROKERS, SCHEMA_REGISTRY_URL, HEADGATE_PREFIX)");
  const apply = sizeOptions(command.command("apply"))
    .description("create what is missing, check the rest; never shrinks, deletes or repartitions, and may be repeated")
    .option("--dry-run", "print the difference, write nothing")
    .option("--wait <time>", "how long to wait for a Kafka or a registry that does not answer yet, for example 2m", "0s");
  act(apply, cli, (_args, options) => applyAction(cli, options as ApplyOptions));
  const diff = sizeOptions(command.command("diff"))
    .description("print what apply would do; exit code 1 when there is something. With --as: print everything, for whoever may create topics")
    .addOption(
      new Option("--as <format>", "for kafka-topics.sh, the Strimzi operator or Terraform; needs no connection").choices([
        "kafka-topics",
        "strimzi",
        "terraform",
      ]),
    );
  act(diff, cli, (_args, options) => diffAction(cli, options as DiffOptions));
  const doc = command
    .command("doc")
    .description("print the topics: key, partitions, retention, who writes and reads")
    .option("--asyncapi", "print the AsyncAPI 3 document");
  act(doc, cli, (_args, options) => docAction(cli, options as { asyncapi?: boolean }));
  return command;
}

function sizeOptions(command: Command): Command {
  return answerOption(command)
    .option("--partitions <counts>", "small, or for example routes=12,requests=24; default: what the prefix has, or 6 (samples: 12)")
    .option("--replication-factor <n>", `default: ${usualReplicas}, or as many as there are brokers`);
}

async function applyAction(cli: Cli, options: ApplyOptions): Promise<ExitCode> {
  const waitMs = parseDuration(options.wait ?? "0s", "--wait");
  const differences = await applyPatiently(cli, { ...topicsOptions(cli, options), dryRun: options.dryRun === true }, waitMs);
  const done = options.dryRun === true ? "would be made so" : "made so";
  cli.terminal.out(differences.length === 0 ? "nothing to do: topics and schemas are as the contracts say" : show(cli, differences, done));
  return exitCode.ok;
}

/** Tries until Kafka and registry answer, for at most `waitMs`; any other failure is final at once. */
async function applyPatiently(cli: Cli, options: Parameters<typeof applyTopics>[0], waitMs: number): Promise<readonly Difference[]> {
  const deadlineMs = cli.now() + waitMs;
  for (let told = ""; ; ) {
    try {
      return await applyTopics(options);
    } catch (error) {
      const isPassing = error instanceof KnownError && passing.has(error.code);
      if (!isPassing || cli.interrupted.aborted || cli.now() >= deadlineMs) throw error;
      if (told !== error.code) cli.terminal.err(`waiting: ${error.message}`);
      told = error.code;
      await sleep(retryEveryMs, undefined, { signal: cli.interrupted }).catch(() => undefined);
    }
  }
}

async function diffAction(cli: Cli, options: DiffOptions): Promise<ExitCode> {
  if (options.as !== undefined) {
    const prefix = parseConfig("topics diff", connectionConfiguration.pick({ HEADGATE_PREFIX: true }), cli.env).HEADGATE_PREFIX;
    const { partitions, replicationFactor = usualReplicas } = sizes(options);
    cli.terminal.out(renderTopics(options.as, planTopics(prefix, partitionCounts(partitions), replicationFactor)).trimEnd());
    return exitCode.ok;
  }
  const differences = await diffTopics(topicsOptions(cli, options));
  cli.terminal.out(differences.length === 0 ? "no difference" : show(cli, differences, "apply"));
  return differences.some(({ remedy }) => remedy !== "keep") ? exitCode.failed : exitCode.ok;
}

async function docAction(cli: Cli, { asyncapi }: { asyncapi?: boolean }): Promise<ExitCode> {
  cli.terminal.out(asyncapi === true ? JSON.stringify(asyncApi(), null, 2) : columns([heading, ...allTopics.map(row)], cli.terminal).join("\n"));
  return exitCode.ok;
}

const heading = ["TOPIC", "KEY", "PARTITIONS", "KEPT", "WRITTEN BY", "READ BY", "HOLDS"].map((text) => ({ text, tone: "dim" as const }));

function row(topic: Topic): string[] {
  const dlq = deadLettered.includes(topic) ? " (+ .dlq)" : "";
  const partitions = String(partitionCounts(undefined)[topic.name]);
  return [topic.name + dlq, topic.key, partitions, kept(topic), topic.writers.join(", "), topic.readers.join(", "), topic.about];
}

function kept({ retention: { cleanup, retentionMs } }: Topic): string {
  const days = retentionMs === undefined ? "" : `${retentionMs / (24 * 60 * 60 * 1000)} d`;
  if (cleanup === "delete") return days;
  return days === "" ? "newest per key" : `newest per key, ${days}`;
}

function show(cli: Cli, differences: readonly Difference[], whenApplied: string): string {
  const remedies = { apply: whenApplied, keep: "left as it is", refuse: "refused" };
  return columns(
    differences.map(({ topic, setting, wanted, actual, remedy }) => [
      topic,
      `${setting}: ${actual || "(empty)"} -> ${wanted}`,
      { text: remedies[remedy], tone: remedy === "apply" ? ("good" as const) : ("warn" as const) },
    ]),
    cli.terminal,
  ).join("\n");
}

function topicsOptions(cli: Cli, options: SizeOptions): TopicsOptions {
  const config = connectionOf("topics", cli);
  return {
    brokers: config.KAFKA_BROKERS.split(","),
    registryUrl: config.SCHEMA_REGISTRY_URL,
    prefix: config.HEADGATE_PREFIX,
    security: securityOf(config),
    answerMs: answerMsOf(options),
    ...sizes(options),
  };
}

function sizes(options: SizeOptions): { partitions?: PartitionsOption; replicationFactor?: number } {
  return {
    ...(options.partitions === undefined ? {} : { partitions: parsePartitions(options.partitions) }),
    ...(options.replicationFactor === undefined ? {} : { replicationFactor: parseReplicas(options.replicationFactor) }),
  };
}

/** `small`, or `topic=count` separated by commas. */
function parsePartitions(text: string): PartitionsOption {
  if (text === "small") return "small";
  return Object.fromEntries(
    text.split(",").map((part) => {
      const [, name = "", count = ""] = /^\s*([a-z-]+)\s*=\s*(\d+)\s*$/.exec(part) ?? [];
      if (name === "")
        throw new KnownError("CONFIG_INVALID", `--partitions ${text} cannot be read`, { fix: "write small, or for example routes=12,requests=24" });
      return [name, Number(count)];
    }),
  );
}

function parseReplicas(text: string): number {
  const replicas = Number(text);
  if (Number.isInteger(replicas) && replicas >= 1 && replicas <= 100) return replicas;
  throw new KnownError("CONFIG_INVALID", `--replication-factor ${text} is not a whole number of 1 or more`, { fix: `write for example ${usualReplicas}` });
}
