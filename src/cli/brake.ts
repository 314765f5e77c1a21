import type { Command } from "commander";
import { KnownError } from "../errors/known-error.ts";
import { act, type Cli } from "./cli.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { collected, GatewayAdmin } from "./gateway-admin.ts";
import { actorOf, type ConnectionOptions, connect, connectionOptions } from "./rollout/connection.ts";
import { routePath } from "./rollout/watch.ts";
import { plain } from "./terminal.ts";

interface BrakeOptions extends ConnectionOptions {
  readonly reason?: string;
  readonly clear?: boolean;
  readonly gateway?: readonly string[];
}

interface Braked {
  readonly route: string;
  readonly status: "written" | "obeyed";
  readonly attempt?: number;
  readonly gateways?: { readonly obeyed: number; readonly live: number };
}

/** `headgate brake` */
export function brakeCommand(command: Command, cli: Cli): Command {
  connectionOptions(command)
    .description("stop a route's candidate at every gateway at once, without the decider; '*' stops all routes")
    .argument("<route>", "a route, or '*' for all")
    .option("--reason <text>", "why, for the record")
    .option("--gateway <url>", "not through control but at a gateway's own admin port, also with Kafka gone; may be repeated", collected)
    .option("--clear", "only with '*': clear it; a route's own brake is never lifted");
  return act(command, cli, ([route = ""], options: BrakeOptions) => brake(cli, route, options));
}

async function brake(cli: Cli, route: string, options: BrakeOptions): Promise<ExitCode> {
  const body = options.reason === undefined ? {} : { reason: options.reason };
  if (options.clear === true && route !== "*") {
    throw new KnownError("REQUEST_INVALID", "the brake of one route is never lifted", {
      fix: `headgate rollout retry ${route} starts a new attempt; --clear is for '*' only`,
    });
  }
  if (options.gateway !== undefined) return await brakeGateways(cli, route, { ...options, gateway: options.gateway });
  const api = await connect(cli, options);
  if (options.clear === true) {
    const cleared = await api.delete<Braked>("/v1/brake", body);
    cli.terminal.out(options.output === "json" ? JSON.stringify(cleared) : "the brake of all routes is cleared; nothing is raised by that");
    return exitCode.ok;
  }
  const braked = await api.post<Braked>(`${route === "*" ? "/v1/brake" : `${routePath(route)}/brake`}?wait=5s`, body);
  cli.terminal.out(options.output === "json" ? JSON.stringify(braked) : brakedLine(braked));
  return braked.status === "obeyed" ? exitCode.ok : exitCode.progressing;
}

interface BrakedHere {
  readonly gateway: string;
  readonly attempt: number;
  readonly kept: boolean;
}

/** Asks each gateway, also when another one failed: each that obeys helps. */
async function brakeGateways(cli: Cli, route: string, options: BrakeOptions & { readonly gateway: readonly string[] }): Promise<ExitCode> {
  if (options.clear === true) {
    throw new KnownError("REQUEST_INVALID", "a gateway's admin port only brakes", {
      fix: "headgate brake '*' --clear goes through control, without --gateway",
    });
  }
  const reason = options.reason === undefined ? {} : { reason: options.reason };
  let failure: unknown;
  for (const url of options.gateway) {
    try {
      const admin = await GatewayAdmin.of(cli, url);
      const braked = await admin.call<BrakedHere>("POST", "/v1/brakes", { route, ...reason, actor: actorOf(cli, options) });
      cli.terminal.out(options.output === "json" ? JSON.stringify(braked) : hereLine(route, braked));
    } catch (error) {
      if (failure !== undefined && error instanceof KnownError) cli.terminal.err(error.report());
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return exitCode.ok;
}

function hereLine(route: string, { gateway, attempt, kept }: BrakedHere): string {
  const what = route === "*" ? "all routes" : `${plain(route)} attempt ${attempt}`;
  return `${what}  braked at ${plain(gateway)}${kept ? ", kept over a restart" : "; NOT kept over a restart (no data directory, or its disk refuses)"}`;
}

function brakedLine({ route, status, attempt, gateways }: Braked): string {
  const what = route === "*" ? "all routes" : `${plain(route)} attempt ${attempt}`;
  const fleet =
    gateways === undefined ? (status === "obeyed" ? "all gateways obey" : "not all gateways obey yet") : `${gateways.obeyed} of ${gateways.live} gateways obey`;
  return `${what}  braked: ${fleet}`;
}
