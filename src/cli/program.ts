import { Command } from "commander";
import { version } from "../config/version.ts";
import { auditCommand } from "./audit/audit.ts";
import { backtestCommand } from "./backtest/backtest.ts";
import { brakeCommand } from "./brake.ts";
import { callerKeyCommand } from "./caller-key.ts";
import { act, type Cli } from "./cli.ts";
import { doctorCommand } from "./doctor/doctor.ts";
import { ejectCommand } from "./eject/eject.ts";
import { exitCode } from "./exit-code.ts";
import { explainCommand } from "./explain/explain.ts";
import { exportCommand } from "./export-static.ts";
import { planCommand } from "./plan/plan.ts";
import { evidenceCommand } from "./replay/export.ts";
import { replayCommand } from "./replay/replay.ts";
import { roleCommands } from "./roles.ts";
import { applyCommand } from "./rollout/apply.ts";
import { getCommand, listCommand, statusCommand } from "./rollout/get.ts";
import { lintCommand, lintSpecCommand, schemaCommand } from "./rollout/lint.ts";
import { baselineCommand, verbCommand, verbDescriptions } from "./rollout/verbs.ts";
import { topicsCommand } from "./topics.ts";
import { uninstallCommand } from "./uninstall.ts";

const exitCodes = `
Exit codes: 0 done or in effect, 1 rolled back or failed, 2 usage or an invalid spec, 3 under way when the time was over
(roles: crashed), 4 paused, frozen or waiting for an approval, 5 not found, 6 conflict or forbidden.`;

/** The whole command line. Parsing never ends the process; see main.ts. */
export function headgate(cli: Cli): Command {
  const root = new Command("headgate")
    .description("Gates AI model rollouts on live evaluation signals, on your own Kafka.")
    .version(version, "-V, --version")
    .addHelpText("after", exitCodes);
  const rollout = root.command("rollout").description("declare, look at and command rollouts").helpGroup("Rollouts (through the control API)");
  applyCommand(rollout.command("apply"), cli);
  listCommand(rollout.command("list"), cli);
  getCommand(rollout.command("get"), cli);
  statusCommand(rollout.command("status"), cli);
  for (const verb of Object.keys(verbDescriptions) as (keyof typeof verbDescriptions)[]) verbCommand(rollout.command(verb), verb, cli);
  lintCommand(rollout.command("lint"), cli);
  planCommand(root.command("plan").helpGroup("Rollouts (through the control API)"), cli);
  lintSpecCommand(root.command("lint").helpGroup("Rollouts (through the control API)"), cli);
  schemaCommand(rollout.command("schema"), cli);
  baselineCommand(root.command("baseline").helpGroup("Rollouts (through the control API)"), cli);
  brakeCommand(root.command("brake").helpGroup("Rollouts (through the control API)"), cli);
  explainCommand(root.command("explain").helpGroup("Rollouts (through the control API)"), cli);
  doctorCommand(root.command("doctor").helpGroup("Gateways"), cli);
  exportCommand(root.command("export").helpGroup("Gateways"), cli);
  replayCommand(root.command("replay").helpGroup("History (from Kafka, or from one file)"), cli);
  evidenceCommand(root.command("evidence").helpGroup("History (from Kafka, or from one file)"), cli);
  backtestCommand(root.command("backtest").helpGroup("On recorded calls (no Kafka)"), cli);
  auditCommand(root.command("audit").helpGroup("On recorded calls (no Kafka)"), cli);
  roleCommands(root, cli);
  topicsCommand(root.command("topics"), cli);
  callerKeyCommand(root.command("caller").description("callers of the gateway").command("key"), cli);
  ejectCommand(root.command("eject"), cli);
  uninstallCommand(root.command("uninstall"), cli);
  act(root.command("version").description("print the version"), cli, async () => {
    cli.terminal.out(version);
    return exitCode.ok;
  });
  quiet(root, cli);
  return root;
}

/** Inner commands inherit settings only when made after them: set them on each. */
function quiet(command: Command, cli: Cli): void {
  command.exitOverride().showHelpAfterError("(--help shows how)");
  command.configureOutput({ writeOut: (text) => cli.terminal.out(text.trimEnd()), writeErr: (text) => cli.terminal.err(text.trimEnd()) });
  for (const inner of command.commands) quiet(inner, cli);
}
