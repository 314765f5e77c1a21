import type { Command } from "commander";
import { fleet, type RoutingTable, rolloutState, routing } from "../../../topics/index.ts";
import { KnownError } from "../../errors/known-error.ts";
import { askRegistry, type Examination, examine } from "../../runtime/examine.ts";
import { securityOf } from "../../runtime/kafka/security.ts";
import { diffTopics } from "../../runtime/topic-admin.ts";
import { act, type Cli } from "../cli.ts";
import { connectionOf } from "../connection.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { collected, GatewayAdmin, type GatewayStatus } from "../gateway-admin.ts";
import { type AnswerOptions, answerMsOf, answerOption, withLog } from "../kafka-connection.ts";
import { plain } from "../terminal.ts";
import { clusterRemarks, differenceRemarks, fleetRemarks, type InstallationRemark, routingRemarks } from "./installation-remarks.ts";

interface DoctorOptions extends AnswerOptions {
  readonly gateway?: readonly string[];
  readonly output?: "json";
}

/** What was found of the installation that KAFKA_BROKERS and HEADGATE_PREFIX name. */
interface Installation {
  readonly prefix: string;
  /** null: the brokers did not answer. */
  readonly examination: Examination | null;
  readonly remarks: readonly InstallationRemark[];
}

/** `headgate doctor` */
export function doctorCommand(command: Command, cli: Cli): Command {
  command
    .description("say what is wrong with an installation and its gateways, or would be in the next outage; exit code 1 when something is")
    .option("--gateway <url>", "a gateway's admin port; may be repeated (token: HEADGATE_GATEWAY_ADMIN_TOKEN or _TOKEN_FILE)", collected)
    .option("-o, --output <format>", "json: for machines");
  return act(answerOption(command), cli, (_args, options) => doctor(cli, options as DoctorOptions));
}

/** With a gateway and no KAFKA_BROKERS only that gateway is asked: it answers with Kafka gone. */
async function doctor(cli: Cli, options: DoctorOptions): Promise<ExitCode> {
  const { gateway = [], output } = options;
  const unheard: InstallationRemark[] = [];
  const admins = await Promise.all(gateway.map((url) => GatewayAdmin.of(cli, url)));
  // All at once: each may be silent until its wait is over.
  const [installation, ...answers] = await Promise.all([
    gateway.length > 0 && cli.env.KAFKA_BROKERS === undefined ? null : lookAt(cli, options),
    ...admins.map(async (admin) => {
      const why: InstallationRemark[] = [];
      return { status: await tried(why, () => admin.call<GatewayStatus>("GET", "/v1/status")), why };
    }),
  ]);
  const gateways = answers.flatMap(({ status, why }) => {
    unheard.push(...why);
    return status ?? [];
  });
  if (output === "json") cli.terminal.out(JSON.stringify({ installation, gateways, unheard }));
  else {
    if (installation !== null) cli.terminal.out(shownInstallation(installation));
    for (const status of gateways) cli.terminal.out(shown(status));
    if (unheard.length > 0) cli.terminal.out(lines(unheard).join("\n"));
  }
  const remarks = [...(installation?.remarks ?? []), ...unheard, ...gateways.flatMap((status) => status.remarks)];
  return remarks.some(({ level }) => level === "error") ? exitCode.failed : exitCode.ok;
}

/** @throws {KnownError} CONFIG_INVALID */
async function lookAt(cli: Cli, options: AnswerOptions): Promise<Installation> {
  const config = connectionOf("doctor", cli);
  const { HEADGATE_PREFIX: prefix, SCHEMA_REGISTRY_URL: registryUrl } = config;
  const where = { brokers: config.KAFKA_BROKERS.split(","), registryUrl, prefix, security: securityOf(config), answerMs: answerMsOf(options) };
  const remarks: InstallationRemark[] = [];
  const ofRegistry: InstallationRemark[] = [];
  const [examination] = await Promise.all([tried(remarks, () => examine(where)), tried(ofRegistry, () => askRegistry(where))]);
  if (examination === null) return { prefix, examination, remarks: [...remarks, ...ofRegistry] };
  const differences = await tried(remarks, () => diffTopics(where));
  remarks.push(...differenceRemarks(differences ?? []), ...clusterRemarks(examination));
  const isReadable = differences?.every(({ setting }) => setting !== "topic" && setting !== "schema") ?? false;
  if (isReadable) remarks.push(...((await tried(remarks, () => askTables(cli, options))) ?? []));
  return { prefix, examination, remarks: remarks.toSorted((a, b) => (a.level < b.level ? -1 : Number(a.level > b.level))) };
}

/** What an answer says, or null with a remark of why there is none: one part that fails hides no other. */
async function tried<T>(remarks: InstallationRemark[], ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof KnownError)) throw error;
    const code = error.code.toLowerCase();
    if (remarks.every((remark) => remark.code !== code)) remarks.push({ level: "error", code, message: error.message, fix: error.fix });
    return null;
  }
}

async function askTables(cli: Cli, options: AnswerOptions): Promise<InstallationRemark[]> {
  return withLog(cli, { command: "doctor", options }, async (log) => {
    const [reports, heads] = [log.openTable(fleet), log.openTable(rolloutState, { fields: ["route", "epoch"] })];
    await Promise.all([reports.ready, heads.ready]);
    const states = new Map(heads.entries());
    // Read after the states, or a table that comes meanwhile would seem lost.
    const routes = log.openTable(routing);
    await routes.ready;
    const tables = new Map<string, RoutingTable>(routes.entries());
    const gateways = [...reports.entries()].map(([, report]) => report);
    return [...routingRemarks(states, tables), ...fleetRemarks(gateways, tables, Date.now())];
  });
}

type Shown = Pick<InstallationRemark, "level" | "code" | "message" | "fix">;

function lines(remarks: readonly Shown[]): string[] {
  if (remarks.length === 0) return ["  nothing to remark"];
  return remarks.map(({ level, code, message, fix }) => `  ${level} ${code}: ${plain(message)}\n    fix: ${plain(fix)}`);
}

function shownInstallation({ prefix, examination, remarks }: Installation): string {
  const roles = examination?.groups.filter(({ members }) => members > 0).map(({ role, members, lag }) => `${role} (${members}, ${lag ?? 0} behind)`) ?? [];
  const head = examination === null ? "Kafka NOT reached" : `${clusterOf(examination)}; ${roles.join(", ") || "no roles"}`;
  return [`${plain(prefix)}  ${head}`, ...lines(remarks)].join("\n");
}

const MOST_ADDRESSES = 6;

/** What a support engineer asks first. */
function clusterOf({ brokers, addresses, clusterId }: Examination): string {
  const more = addresses.length > MOST_ADDRESSES ? ", …" : "";
  return plain(`${brokers} broker${brokers === 1 ? "" : "s"} (${addresses.slice(0, MOST_ADDRESSES).join(", ")}${more}) of cluster ${clusterId}`);
}

function shown(status: GatewayStatus): string {
  const workers = (status.workers ?? []).map((worker) => `  worker ${headOf(worker)}`);
  return [headOf(status), ...workers, ...lines(status.remarks)].join("\n");
}

function headOf({ instance, connected, routes }: GatewayStatus): string {
  const served = routes.map(({ route, epoch, braked, hold }) => `${plain(route)} at epoch ${epoch}${braked ? ", braked" : hold === null ? "" : `, ${hold}`}`);
  return `${plain(instance)}  ${connected ? "connected" : "NOT connected"}; ${served.join("; ") || "no routes"}`;
}
