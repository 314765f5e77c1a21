import type { Command } from "commander";
import type { ExitCode } from "./exit-code.ts";
import type { Terminal } from "./terminal.ts";

/** What commands get from the process; tests give their own. */
export interface Cli {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof fetch;
  /** Epoch ms. */
  readonly now: () => number;
  /** Text of a file; `-` is standard input. */
  readonly read: (path: string) => Promise<string>;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** The last command's. */
  exitCode: ExitCode;
}

/** Gives a command its action; what it answers becomes the exit code. */
export function act(command: Command, cli: Cli, action: (args: readonly string[], options: Readonly<Record<string, unknown>>) => Promise<ExitCode>): Command {
  return command.action(async () => {
    cli.exitCode = await action(command.args, command.optsWithGlobals());
  });
}
