import type { Command } from "commander";
import { z } from "zod";
import { rolloutSpec } from "../../../topics/rollout-spec.ts";
import { plannerProblems } from "../../domain/planning/advice.ts";
import { act, type Cli } from "../cli.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { readVolume, type VolumeOptions, volumeOptions } from "../plan/volume.ts";
import { showProblems } from "../problems.ts";
import { connectionOptions } from "./connection.ts";
import { type Checked, checkSpec, readRubricFiles, readSpecFile } from "./spec-file.ts";

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

interface LintOptions extends VolumeOptions {
  readonly file: string;
  readonly set: readonly string[];
  readonly rubric: readonly string[];
}

/** `headgate lint SPEC`: as `headgate plan SPEC` takes it. */
export function lintSpecCommand(command: Command, cli: Cli): Command {
  lintOptions(command.argument("<spec>", "the spec, YAML or JSON; - reads standard input"));
  return act(command, cli, ([spec = ""], options) => run(cli, { ...(options as unknown as LintOptions), file: spec }));
}

/** `headgate rollout lint -f SPEC` */
export function lintCommand(command: Command, cli: Cli): Command {
  lintOptions(command.requiredOption("-f, --file <file>", "the spec, YAML or JSON; - reads standard input"));
  return act(command, cli, (_args, options) => run(cli, options as unknown as LintOptions));
}

function lintOptions(command: Command): void {
  connectionOptions(volumeOptions(command))
    .description("check a spec offline: its schema, whether it makes sense, and with a volume whether its ladder can decide")
    .option("--rubric <file>", "a rubric that the spec names; repeatable", collect, [])
    .option("--set <path=value>", "set one value of the spec before; repeatable", collect, []);
}

async function run(cli: Cli, options: LintOptions): Promise<ExitCode> {
  const { file, set, rubric, output } = options;
  const { problems, notices } = await lint(cli, options, checkSpec(await readSpecFile(cli, file, set), await readRubricFiles(cli, rubric)));
  if (output !== "json") for (const notice of notices) cli.terminal.err(`${file}: note: ${notice}`);
  const lines = showProblems(problems).map((line) => `${file}: ${line}`);
  if (output === "json") cli.terminal.out(JSON.stringify({ file, problems, notices }));
  else cli.terminal.out(problems.length === 0 ? `${file}: ok` : lines.join("\n"));
  return problems.length === 0 ? exitCode.ok : exitCode.usage;
}

/** A spec that makes sense is checked against a volume too, when one is known. */
async function lint(cli: Cli, options: LintOptions, { problems, notices, plan }: Checked): Promise<Pick<Checked, "problems" | "notices">> {
  if (plan === null) return { problems, notices };
  const volume = await readVolume(cli, options, plan);
  const planned = plannerProblems(plan, volume?.traffic ?? null);
  return { problems: planned.problems, notices: [...notices, ...planned.notices] };
}

/** `headgate rollout schema` */
export function schemaCommand(command: Command, cli: Cli): Command {
  command.description("print the JSON Schema of a spec, for editors and CI");
  return act(command, cli, async () => {
    const { $schema, ...rest } = z.toJSONSchema(rolloutSpec, { io: "input" });
    cli.terminal.out(JSON.stringify({ $schema, title: "headgate rollout spec", ...rest }, null, 2));
    return exitCode.ok;
  });
}
