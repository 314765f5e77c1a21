import type { Command } from "commander";
import { KnownError } from "../../errors/known-error.ts";
import type { RouteView } from "../../stages/6-control/route-view.ts";
import { act, type Cli } from "../cli.ts";
import type { ControlApi } from "../control-api.ts";
import { parseDuration } from "../duration.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { showProblems } from "../problems.ts";
import { showStatusLine } from "../show/list.ts";
import { plain } from "../terminal.ts";
import { type ConnectionOptions, connect, connectionOptions } from "./connection.ts";
import { checkSpec, readRubricFiles, readSpecFile } from "./spec-file.ts";
import { deadline, settledCode, watchRoute } from "./watch.ts";

interface ApplyOptions extends ConnectionOptions {
  readonly file: string;
  readonly rubric: readonly string[];
  readonly set: readonly string[];
  readonly wait?: boolean;
  readonly timeout: string;
  readonly expectedAttempt?: string;
}

interface Applied {
  readonly route: string;
  readonly digest: string;
  readonly status: "unchanged" | "declared" | "taken_up";
  readonly attempt: number;
  readonly phase: string;
  readonly message: string;
  readonly warnings: readonly string[];
}

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

/** `headgate rollout apply` */
export function applyCommand(command: Command, cli: Cli): Command {
  connectionOptions(command)
    .description("declare a rollout; the decider starts an attempt, the gates move it")
    .requiredOption("-f, --file <file>", "the spec, YAML or JSON; - reads standard input")
    .option("--rubric <file>", "a rubric that the spec names and the catalog does not hold yet; repeatable", collect, [])
    .option("--set <path=value>", "set one value of the spec, for example dwell.min=10s; repeatable", collect, [])
    .option("--expected-attempt <n>", "refuse when the route's attempt is another one by now")
    .option("--wait", "wait until it is done, rolled back, or needs a person; the exit code tells which")
    .option("--timeout <duration>", "with --wait: how long at most; exit code 3 after that", "96h");
  return act(command, cli, (_args, options) => apply(cli, options as unknown as ApplyOptions));
}

async function apply(cli: Cli, options: ApplyOptions): Promise<ExitCode> {
  const spec = await readSpecFile(cli, options.file, options.set);
  const rubrics = await readRubricFiles(cli, options.rubric);
  const { problems } = checkSpec(spec, rubrics);
  if (problems.length > 0) {
    throw new KnownError("SPEC_INVALID", [`${options.file} is not a valid spec`, ...showProblems(problems)].join("\n  "), {
      fix: "correct the fields above; headgate rollout schema prints what is allowed",
    });
  }
  const expected = options.expectedAttempt === undefined ? {} : { expectedAttempt: wholeNumber(options.expectedAttempt, "--expected-attempt") };
  const api = await connect(cli, options);
  const applied = await api.post<Applied>("/v1/rollouts?wait=5s", { spec, rubrics: rubrics.map(({ name, text }) => ({ name, text })), ...expected });
  for (const warning of applied.warnings) cli.terminal.err(`warning: ${plain(warning)}`);
  if (options.wait !== true) {
    cli.terminal.out(options.output === "json" ? JSON.stringify(applied) : appliedLine(applied));
    return exitCode.ok;
  }
  cli.terminal.err(appliedLine(applied));
  return untilSettled(cli, api, applied, options);
}

/** Shows each change of the rollout until it is settled, or the time is over. */
async function untilSettled(cli: Cli, api: ControlApi, applied: Applied, options: ApplyOptions): Promise<ExitCode> {
  let shown = "";
  let last: RouteView | undefined;
  const signal = deadline(parseDuration(options.timeout, "--timeout"), cli.interrupted);
  for await (const view of watchRoute(api, applied.route, signal)) {
    if (view.declared?.digest === applied.digest && view.declared.standing === "waiting") continue;
    if (view.declared?.standing === "refused")
      throw new KnownError("CONFLICT", `the decider refused the spec: ${plain(view.declared.refusal)}`, { fix: "correct what it names, then apply again" });
    last = view;
    const kept = keptFor(view, applied);
    const line = kept ?? showStatusLine(view);
    if (line !== shown) cli.terminal.out(options.output === "json" ? JSON.stringify(view) : line);
    shown = line;
    const code = kept === undefined ? settledCode(view) : undefined;
    if (code !== undefined) return code;
  }
  cli.terminal.err(last === undefined ? "the decider has not taken the spec up: is `headgate decider` running?" : "still under way when the time was over");
  return exitCode.progressing;
}

/** What the decider keeps the spec for; what the route shows meanwhile is another rollout. */
function keptFor({ declared }: RouteView, { route, digest }: Applied): string | undefined {
  return declared?.digest === digest && declared.standing === "queued" ? `${plain(route)}  ${plain(declared.refusal)}` : undefined;
}

function appliedLine(applied: Applied): string {
  const where =
    applied.status === "declared" ? "declared; the decider has not taken it up yet" : `attempt ${applied.attempt}, ${applied.phase}: ${plain(applied.message)}`;
  return `${plain(applied.route)}  ${applied.status === "unchanged" ? "unchanged; " : ""}${where}`;
}

/** @throws {KnownError} REQUEST_INVALID */
export function wholeNumber(text: string, option: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new KnownError("REQUEST_INVALID", `${option} ${text} is not a whole number`, { fix: "write for example 1" });
}
