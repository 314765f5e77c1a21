import { createHash, randomBytes } from "node:crypto";
import type { Command } from "commander";
import { KnownError } from "../errors/known-error.ts";
import { act, type Cli } from "./cli.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";

/** Random bytes of a new key: too many to be guessed, so that a plain hash of it is safe to keep. */
const KEY_BYTES = 32;
/** Fewer characters could be guessed from the hash. */
const SHORTEST_KEY = 20;
const readable = /^[\x21-\x7e]+$/;

interface Options {
  readonly keyFile?: string;
  readonly output?: string;
}

/** `headgate caller key` */
export function callerKeyCommand(command: Command, cli: Cli): Command {
  command
    .description("make an API key for a caller of the gateway, and the hash that the gateway's file keeps of it")
    .argument("<name>", "the caller's name in the gateway's file")
    .option("--key-file <file>", "hash the key in this file (- is standard input) instead of making one")
    .option("-o, --output <form>", "text or json", "text");
  return act(command, cli, ([name = ""], options: Options) => callerKey(cli, name, options));
}

async function callerKey(cli: Cli, name: string, options: Options): Promise<ExitCode> {
  const given = options.keyFile === undefined ? null : (await cli.read(options.keyFile)).trim();
  if (given !== null && (given.length < SHORTEST_KEY || !readable.test(given))) {
    throw new KnownError("REQUEST_INVALID", `a key needs ${SHORTEST_KEY} or more characters, without spaces: a shorter one could be guessed from its hash`, {
      fix: "leave out --key-file: then a key is made",
    });
  }
  const key = given ?? `hg-${randomBytes(KEY_BYTES).toString("base64url")}`;
  const keyHash = createHash("sha256").update(key, "utf8").digest("hex");
  if (options.output === "json") {
    cli.terminal.out(JSON.stringify(given === null ? { name, key, keyHash } : { name, keyHash }));
    return exitCode.ok;
  }
  if (given === null) cli.terminal.out(`key, shown only now, for the caller:\n${key}\n`);
  cli.terminal.out(`callers:\n  - { name: ${JSON.stringify(name)}, keyHash: ${keyHash} }`);
  return exitCode.ok;
}
