import type { Command } from "commander";
import type { Explanation } from "../../domain/replay/explanation.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { RouteSummary, RouteView } from "../../stages/6-control/route-view.ts";
import { act, type Cli } from "../cli.ts";
import type { ControlApi } from "../control-api.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { openHistory } from "../replay/replay.ts";
import { type ConnectionOptions, connect, connectionOptions } from "../rollout/connection.ts";
import { getRoute } from "../rollout/watch.ts";
import { plain } from "../terminal.ts";
import { explainPast, parseMoment } from "./past.ts";
import { showExplanation } from "./show-explanation.ts";

interface ExplainOptions extends ConnectionOptions {
  readonly at?: string;
  readonly bundle?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** Letters per line when nobody says how wide the terminal is. */
const USUAL_WIDTH = 120;

/** `headgate explain` */
export function explainCommand(command: Command, cli: Cli): Command {
  connectionOptions(command)
    .description("why a rollout is where it is, what is missing for its next step and when that is expected")
    .argument("<rollout|route>", "a route, or the id of a rollout")
    .option("--at <time|event>", "at a moment of the past, from `evidence` on Kafka: a time, how long ago (2h), or the id of a gate event")
    .option("--bundle <file>", "with --at: read a file of `headgate evidence export` instead of Kafka")
    .option("--json", "for machines (as -o json)")
    .option("--no-color", "without colour");
  return act(command, cli, ([name = ""], options) => explainNow(cli, name, options as ExplainOptions));
}

async function explainNow(cli: Cli, name: string, options: ExplainOptions): Promise<ExitCode> {
  if (options.bundle !== undefined && options.at === undefined)
    throw new KnownError("REQUEST_INVALID", "--bundle has no meaning without --at", { fix: "name a moment, for example --at 2026-11-25T10:00:00Z" });
  const found = options.at === undefined ? await present(cli, name, options) : await past(cli, name, { at: options.at, bundle: options.bundle });
  if (options.json === true || options.output === "json") {
    cli.terminal.out(JSON.stringify(found.explanation));
    return exitCode.ok;
  }
  const terminal = { isColored: cli.terminal.isColored && options.color !== false };
  cli.terminal.out(
    found.explanation === null ? `${plain(found.route)}: ${found.instead}` : showExplanation(found.explanation, { terminal, width: widthOf(cli) }),
  );
  return exitCode.ok;
}

interface Found {
  readonly route: string;
  readonly explanation: Explanation | null;
  /** What is said when there is nothing to explain. */
  readonly instead: string;
}

async function present(cli: Cli, name: string, options: ConnectionOptions): Promise<Found> {
  const view = await viewOf(await connect(cli, options), name);
  return { route: view.route, explanation: view.explanation ?? null, instead: plain(view.message) };
}

/** A route by its name, or by the id of the rollout that it runs. */
async function viewOf(api: ControlApi, name: string): Promise<RouteView> {
  try {
    return await getRoute(api, name);
  } catch (error) {
    if (!(error instanceof KnownError) || error.code !== "NOT_FOUND") throw error;
    const { rollouts } = await api.get<{ rollouts: RouteSummary[] }>("/v1/rollouts");
    const found = rollouts.find(({ rollout }) => rollout === name);
    if (found === undefined) throw error;
    return getRoute(api, found.route);
  }
}

async function past(cli: Cli, name: string, { at, bundle }: { readonly at: string; readonly bundle: string | undefined }): Promise<Found> {
  const moment = parseMoment(at, cli.now());
  const history = await openHistory(cli, name, bundle);
  try {
    return { route: history.route, explanation: await explainPast(history, moment), instead: "no attempt had begun then" };
  } finally {
    await history.close();
  }
}

function widthOf(cli: Cli): number {
  const columns = Number(cli.env.COLUMNS ?? process.stdout.columns ?? USUAL_WIDTH);
  return Number.isFinite(columns) && columns > 0 ? columns : USUAL_WIDTH;
}
