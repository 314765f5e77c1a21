import { CommanderError } from "commander";
import { KnownError } from "../errors/known-error.ts";
import type { Cli } from "./cli.ts";
import { exitCode, exitCodeOf } from "./exit-code.ts";
import { headgate } from "./program.ts";

/**
 * Runs one command line.
 * @param argv without node and script
 * @returns the exit code; foreseen failures are reported without a stack, others with it
 */
export async function run(argv: readonly string[], cli: Cli): Promise<number> {
  try {
    await headgate(cli).parseAsync([...argv], { from: "user" });
    return cli.exitCode;
  } catch (error) {
    // Commander has printed the help or the mistake already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
    cli.terminal.err(error instanceof KnownError ? error.report() : stackOf(error));
    return exitCodeOf(error);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
