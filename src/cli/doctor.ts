import type { Command } from "commander";
import { act, type Cli } from "./cli.ts";
import { type ExitCode, exitCode } from "./exit-code.ts";
import { collected, GatewayAdmin, type GatewayStatus } from "./gateway-admin.ts";
import { plain } from "./terminal.ts";

interface DoctorOptions {
  readonly gateway: readonly string[];
  readonly output?: "json";
}

/** `headgate doctor` */
export function doctorCommand(command: Command, cli: Cli): Command {
  command
    .description("say what is wrong with gateways, or would be in the next outage; exit code 1 when something is")
    .requiredOption("--gateway <url>", "a gateway's admin port; may be repeated (token: HEADGATE_GATEWAY_ADMIN_TOKEN or _TOKEN_FILE)", collected)
    .option("-o, --output <format>", "json: for machines");
  return act(command, cli, (_args, options) => doctor(cli, options as unknown as DoctorOptions));
}

async function doctor(cli: Cli, options: DoctorOptions): Promise<ExitCode> {
  const statuses: GatewayStatus[] = [];
  for (const url of options.gateway) statuses.push(await (await GatewayAdmin.of(cli, url)).call<GatewayStatus>("GET", "/v1/status"));
  if (options.output === "json") cli.terminal.out(JSON.stringify(statuses));
  else for (const status of statuses) cli.terminal.out(shown(status));
  return statuses.some(({ remarks }) => remarks.some(({ level }) => level === "error")) ? exitCode.failed : exitCode.ok;
}

function shown({ instance, connected, routes, remarks }: GatewayStatus): string {
  const served = routes.map(({ route, epoch, braked, hold }) => `${plain(route)} at epoch ${epoch}${braked ? ", braked" : hold === null ? "" : `, ${hold}`}`);
  const head = `${plain(instance)}  ${connected ? "connected" : "NOT connected"}; ${served.join("; ") || "no routes"}`;
  const lines = remarks.map(({ level, code, message, fix }) => `  ${level} ${code}: ${plain(message)}\n    fix: ${plain(fix)}`);
  return [head, ...(lines.length === 0 ? ["  nothing to remark"] : lines)].join("\n");
}
