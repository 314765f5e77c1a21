import { type Command, Option } from "commander";
import { KnownError } from "../../errors/known-error.ts";
import type { Cli } from "../cli.ts";
import { ControlApi } from "../control-api.ts";

/** Options of every command that talks to the control API. */
export interface ConnectionOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly actor?: string;
  readonly output?: "json";
}

export const defaultUrl = "http://127.0.0.1:7070";

export function connectionOptions(command: Command): Command {
  return command
    .option("--url <url>", `address of the control API (HEADGATE_CONTROL_URL; default ${defaultUrl})`)
    .option("--token-file <file>", "file with the bearer token (HEADGATE_CONTROL_TOKEN_FILE)")
    .option("--actor <name>", "who asks, for the record (HEADGATE_ACTOR; default the user's name)")
    .addOption(new Option("-o, --output <format>", "json: for machines").choices(["json"]));
}

export async function connect(cli: Cli, options: ConnectionOptions): Promise<ControlApi> {
  const url = options.url ?? cli.env.HEADGATE_CONTROL_URL ?? defaultUrl;
  if (!URL.canParse(url)) throw new KnownError("REQUEST_INVALID", `--url ${url} is not a URL`, { fix: `write for example --url ${defaultUrl}` });
  const tokenFile = options.tokenFile ?? cli.env.HEADGATE_CONTROL_TOKEN_FILE;
  return new ControlApi({
    url,
    token: tokenFile === undefined ? undefined : firstToken(await cli.read(tokenFile), tokenFile),
    actor: actorOf(cli, options),
    fetch: cli.fetch,
  });
}

/** Who asks, for the record. */
export function actorOf(cli: Cli, options: ConnectionOptions): string {
  return options.actor ?? cli.env.HEADGATE_ACTOR ?? cli.env.USER ?? cli.env.LOGNAME ?? "cli";
}

function firstToken(text: string, path: string): string {
  const token = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .find((line) => line !== "" && !line.startsWith("#"));
  if (token !== undefined) return token;
  throw new KnownError("CONFIG_INVALID", `${path} holds no token`, { fix: "write the bearer token on its first line" });
}
