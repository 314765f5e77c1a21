import type { Command } from "commander";
import { pino } from "pino";
import { FirstWords } from "../runtime/kafka/first-words.ts";
import { securityOf } from "../runtime/kafka/security.ts";
import { type ConnectOptions, connectLog } from "../runtime/log-client.ts";
import type { LogClient } from "../runtime/port.ts";
import type { Cli } from "./cli.ts";
import { connectionOf } from "./connection.ts";
import { parseDuration } from "./duration.ts";

/** How a command reaches Kafka: KAFKA_BROKERS, SCHEMA_REGISTRY_URL, HEADGATE_PREFIX and the rest. */
export interface KafkaConnection {
  readonly connection: Pick<ConnectOptions, "brokers" | "clientId" | "log" | "security" | "socketFactory">;
  /** @throws {KnownError} KAFKA_UNREACHABLE, REGISTRY_UNREACHABLE, TOPIC_MISSING … */
  connect(): Promise<LogClient>;
  /** What `work` comes to; a broker that says nothing ends the wait for it. @throws {KnownError} KAFKA_UNREACHABLE */
  bound<T>(work: () => Promise<T>): Promise<T>;
}

/** What a command says of how long it waits. */
export interface AnswerOptions {
  readonly timeout?: string;
}

/** Of a command that talks to Kafka itself and ends by itself. */
export function answerOption(command: Command): Command {
  return command.option("--timeout <time>", "how long a broker may say nothing before it counts as unreachable", "15s");
}

/** @throws {KnownError} REQUEST_INVALID */
export function answerMsOf({ timeout }: AnswerOptions): number | undefined {
  return timeout === undefined ? undefined : Math.max(1, parseDuration(timeout, "--timeout"));
}

/** @throws {KnownError} CONFIG_INVALID */
export function kafkaConnection(cli: Cli, command: string, options: AnswerOptions = {}): KafkaConnection {
  const config = connectionOf(command, cli);
  const { HEADGATE_PREFIX: prefix, SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_SESSION_TIMEOUT_MS: sessionTimeoutMs } = config;
  const log = pino({ level: "silent" });
  const firstWords = new FirstWords(answerMsOf(options));
  const { socketFactory } = firstWords;
  const brokers = config.KAFKA_BROKERS.split(",");
  const connection = { brokers, clientId: `headgate-${command.replaceAll(" ", "-")}`, log, security: securityOf(config), socketFactory };
  const connect = () => connectLog({ ...connection, registryUrl, prefix, sessionTimeoutMs });
  const bound = <T>(work: () => Promise<T>) => firstWords.bound(work);
  return { connection, connect: () => bound(connect), bound };
}

/**
 * Does something with the log of one prefix, and closes it.
 * @throws {KnownError} as `kafkaConnection` and its `connect`
 */
export async function withLog<T>(
  cli: Cli,
  about: { readonly command: string; readonly options: AnswerOptions },
  use: (log: LogClient) => Promise<T>,
): Promise<T> {
  const { connect, bound } = kafkaConnection(cli, about.command, about.options);
  const log = await connect();
  try {
    return await bound(() => use(log));
  } finally {
    await log.close();
  }
}
