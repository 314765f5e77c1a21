import { pino } from "pino";
import { securityOf } from "../runtime/kafka/security.ts";
import { type ConnectOptions, connectLog } from "../runtime/log-client.ts";
import type { LogClient } from "../runtime/port.ts";
import type { Cli } from "./cli.ts";
import { connectionOf } from "./connection.ts";

/** How a command reaches Kafka: KAFKA_BROKERS, SCHEMA_REGISTRY_URL, HEADGATE_PREFIX and the rest. */
export interface KafkaConnection {
  readonly connection: Pick<ConnectOptions, "brokers" | "clientId" | "log" | "security">;
  /** @throws {KnownError} KAFKA_UNREACHABLE, REGISTRY_UNREACHABLE, TOPIC_MISSING … */
  connect(): Promise<LogClient>;
}

/** @throws {KnownError} CONFIG_INVALID */
export function kafkaConnection(cli: Cli, command: string): KafkaConnection {
  const config = connectionOf(command, cli);
  const { HEADGATE_PREFIX: prefix, SCHEMA_REGISTRY_URL: registryUrl, HEADGATE_SESSION_TIMEOUT_MS: sessionTimeoutMs } = config;
  const log = pino({ level: "silent" });
  const connection = { brokers: config.KAFKA_BROKERS.split(","), clientId: `headgate-${command.replaceAll(" ", "-")}`, log, security: securityOf(config) };
  return { connection, connect: () => connectLog({ ...connection, registryUrl, prefix, sessionTimeoutMs }) };
}
