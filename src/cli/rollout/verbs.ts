import type { Command } from "commander";
import type { RouteView } from "../../stages/6-control/route-view.ts";
import { act, type Cli } from "../cli.ts";
import type { ControlApi } from "../control-api.ts";
import { parseDuration } from "../duration.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { plain } from "../terminal.ts";
import { wholeNumber } from "./apply.ts";
import { type ConnectionOptions, connect, connectionOptions } from "./connection.ts";
import { deadline, routePath, watchRoute } from "./watch.ts";

interface VerbOptions extends ConnectionOptions {
  readonly reason?: string;
  readonly expectedAttempt?: string;
  readonly timeout?: string;
}

interface Commanded {
  readonly id: string;
  readonly route: string;
  readonly status: "written" | "in_effect";
  readonly attempt: number;
  readonly phase: string;
  readonly condition: string;
  readonly message: string;
}

/** Verbs of `headgate rollout VERB ROUTE` with what each does, for its help. */
export const verbDescriptions = {
  pause: "keep the candidate's share as it is; guardrails still act",
  resume: "leave a pause",
  promote: "advance by one step without waiting for the gates",
  rollback: "take the candidate to 0 % and end the attempt; waits until the gateways obey",
  approve: "approve leaving a step that asks a person, or an edit or start that waits for it",
  retry: "start a new attempt of a rolled-back rollout",
  undo: "go back to the previous baseline after done",
  freeze: "stop the climb until it is thawed",
  thaw: "leave a freeze",
  withdraw: "take back the spec, edit or retry that waits",
} as const;
/** How long a verb waits for the decider to carry it out or refuse it, ms. */
const decisionMs = 5_000;

type VerbName = keyof typeof verbDescriptions;

/** Verbs of `headgate baseline VERB ROUTE`. */
const baselineVerbs = {
  capture: "take a new reference of the version that serves, from now on; ends a drift alarm",
  clear: "end a drift alarm; the reference stays what it was",
} as const;

/** `headgate baseline capture|clear` */
export function baselineCommand(command: Command, cli: Cli): Command {
  command.description("the reference that the drift watch compares with");
  for (const verb of Object.keys(baselineVerbs) as (keyof typeof baselineVerbs)[]) {
    const one = connectionOptions(command.command(verb)).description(baselineVerbs[verb]).argument("<route>").option("--reason <text>", "why, for the record");
    act(one, cli, ([route = ""], options: VerbOptions) => send(cli, { verb, route }, options));
  }
  return command;
}

export function verbCommand(command: Command, verb: VerbName, cli: Cli): Command {
  connectionOptions(command)
    .description(verbDescriptions[verb])
    .argument("<route>")
    .option("--reason <text>", "why, for the record")
    .option("--expected-attempt <n>", "refuse when the route's attempt is another one by now");
  if (verb === "rollback") command.alias("abort").option("--timeout <duration>", "how long to wait for the gateways; 0s: not at all", "30s");
  return act(command, cli, ([route = ""], options: VerbOptions) => send(cli, { verb, route }, options));
}

async function send(
  cli: Cli,
  about: { readonly verb: VerbName | keyof typeof baselineVerbs; readonly route: string },
  options: VerbOptions,
): Promise<ExitCode> {
  const { verb, route } = about;
  const expected = options.expectedAttempt === undefined ? {} : { expectedAttempt: wholeNumber(options.expectedAttempt, "--expected-attempt") };
  const timeoutMs = options.timeout === undefined ? 0 : parseDuration(options.timeout, "--timeout");
  const api = await connect(cli, options);
  const waitMs = verb === "rollback" ? Math.min(timeoutMs, decisionMs) : decisionMs;
  const commanded = await api.post<Commanded>(`${routePath(route)}/${verb}?wait=${waitMs}ms`, {
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...expected,
  });
  if (verb === "rollback" && timeoutMs > 0) return untilObeyed(cli, api, { route, attempt: commanded.attempt, timeoutMs, isJson: options.output === "json" });
  const hasEffect = commanded.status === "in_effect" || verb === "rollback";
  if (options.output === "json") cli.terminal.out(JSON.stringify(commanded));
  else if (hasEffect)
    cli.terminal.out(`${plain(route)}  ${verb}: attempt ${commanded.attempt}, ${commanded.phase}, ${commanded.condition}: ${plain(commanded.message)}`);
  else
    cli.terminal.out(
      `${plain(route)}  ${verb} is written; the decider has not acted on it within 5 s (is it running? headgate rollout get ${route} shows more)`,
    );
  return hasEffect ? exitCode.ok : exitCode.progressing;
}

/** A rollback is over when the attempt is, and every live gateway obeys. */
async function untilObeyed(
  cli: Cli,
  api: ControlApi,
  about: { readonly route: string; readonly attempt: number; readonly timeoutMs: number; readonly isJson: boolean },
): Promise<ExitCode> {
  const { route } = about;
  let last: RouteView | undefined;
  for await (const view of watchRoute(api, route, deadline(about.timeoutMs, cli.interrupted))) {
    last = view;
    const { obeyed, live } = view.gateways;
    const isEnded = view.phase === "rolled_back" || view.attempt > about.attempt;
    if (!isEnded || obeyed < live) continue;
    cli.terminal.out(about.isJson ? JSON.stringify(view) : `${plain(route)}  rolled back: ${obeyed} of ${live} gateways obey epoch ${view.epoch}`);
    return exitCode.ok;
  }
  const { obeyed = 0, live = 0 } = last?.gateways ?? {};
  if (about.isJson && last !== undefined) cli.terminal.out(JSON.stringify(last));
  const where = last?.phase === "rolled_back" ? `rolled back, but only ${obeyed} of ${live} gateways obey` : "the decider has not acted on the rollback";
  cli.terminal.err(`${plain(route)}  ${where} after ${about.timeoutMs / 1_000} s\n  fix: headgate brake ${route} stops every gateway without the decider`);
  return exitCode.progressing;
}
