import type { Command } from "commander";
import type { RouteSummary, RouteView } from "../../stages/6-control/route-view.ts";
import { act, type Cli } from "../cli.ts";
import { parseDuration } from "../duration.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { showList, showStatusLine } from "../show/list.ts";
import { showRoute } from "../show/route.ts";
import { type ConnectionOptions, connect, connectionOptions } from "./connection.ts";
import { deadline, getRoute, isOver, settledCode, watchRoute } from "./watch.ts";

interface GetOptions extends ConnectionOptions {
  readonly watch?: boolean;
  readonly timeout?: string;
}

/** `headgate rollout get` */
export function getCommand(command: Command, cli: Cli): Command {
  connectionOptions(command)
    .description("show where a route stands, what it waits for, and the evidence of the newest decision")
    .argument("<route>")
    .option("-w, --watch", "look on until the rollout is over; on a terminal redrawn, else one line per change")
    .option("--timeout <duration>", "with --watch: how long at most; then the exit code of status");
  return act(command, cli, ([route = ""], options) => get(cli, route, options));
}

async function get(cli: Cli, route: string, options: GetOptions): Promise<ExitCode> {
  const api = await connect(cli, options);
  const show = (view: RouteView) => showRoute(view, { nowMs: cli.now(), terminal: cli.terminal });
  if (options.watch !== true) {
    const view = await getRoute(api, route);
    cli.terminal.out(options.output === "json" ? JSON.stringify(view, null, 2) : show(view));
    return exitCode.ok;
  }
  const signal = deadline(options.timeout === undefined ? 0 : parseDuration(options.timeout, "--timeout"), cli.interrupted);
  let shown = "";
  let last: RouteView | undefined;
  for await (const view of watchRoute(api, route, signal)) {
    last = view;
    const line = showStatusLine(view);
    if (options.output === "json") {
      if (line !== shown) cli.terminal.out(JSON.stringify(view));
    } else if (cli.terminal.isInteractive) cli.terminal.redraw(show(view));
    else if (line !== shown) cli.terminal.out(line);
    shown = line;
    if (isOver(view.phase)) break;
  }
  return last === undefined ? exitCode.progressing : (settledCode(last) ?? exitCode.progressing);
}

/** `headgate rollout status`: one line and the exit code, for scripts. */
export function statusCommand(command: Command, cli: Cli): Command {
  connectionOptions(command)
    .description("one line and an exit code for scripts: 0 done, 1 rolled back, 3 under way, 4 needs a person")
    .argument("<route>")
    .option("--timeout <duration>", "wait so long for it to be done, rolled back, or in need of a person");
  return act(command, cli, async ([route = ""], options: GetOptions) => {
    const api = await connect(cli, options);
    let view = await getRoute(api, route);
    if (options.timeout !== undefined && settledCode(view) === undefined) {
      for await (const next of watchRoute(api, route, deadline(parseDuration(options.timeout, "--timeout"), cli.interrupted))) {
        view = next;
        if (settledCode(view) !== undefined) break;
      }
    }
    cli.terminal.out(options.output === "json" ? JSON.stringify(view) : showStatusLine(view));
    return settledCode(view) ?? exitCode.progressing;
  });
}

/** `headgate rollout list` */
export function listCommand(command: Command, cli: Cli): Command {
  connectionOptions(command).description("all routes, one line each");
  return act(command, cli, async (_args, options: ConnectionOptions) => {
    const { rollouts } = await (await connect(cli, options)).get<{ rollouts: RouteSummary[] }>("/v1/rollouts");
    cli.terminal.out(options.output === "json" ? JSON.stringify(rollouts, null, 2) : showList(rollouts, { nowMs: cli.now(), terminal: cli.terminal }));
    return exitCode.ok;
  });
}
