import { type ConnectionConfig, connectionConfiguration, connectionProblems } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import { KnownError } from "../errors/known-error.ts";
import { readSecretFiles } from "../runtime/process/secret-files.ts";
import type { Cli } from "./cli.ts";

/**
 * Where Kafka and the registry are, from the environment of a command that talks to them itself.
 * @throws {KnownError} CONFIG_INVALID, naming every wrong variable
 */
export function connectionOf(command: string, cli: Cli): ConnectionConfig {
  const config = parseConfig(command, connectionConfiguration, readSecretFiles(Object.keys(connectionConfiguration.shape), cli.env));
  const problems = connectionProblems(config);
  if (problems.length === 0) return config;
  throw new KnownError("CONFIG_INVALID", problems.join("\n  "), { fix: "set the variables above; the configuration table in README.md lists all of them" });
}
