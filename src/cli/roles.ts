import { type Command, InvalidArgumentError } from "commander";
import { connectionConfiguration } from "../config/connection.ts";
import { parseConfig } from "../config/parse-config.ts";
import type { Program } from "../runtime/program.ts";
import { act, type Cli } from "./cli.ts";
import type { ExitCode } from "./exit-code.ts";

/** Loads a role's program only when that role is run: each brings its own clients. */
const programs: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<{ readonly program: Program }> }>> = {
  gateway: { about: "OpenAI-compatible proxy that obeys routing and brakes and logs every call", load: () => import("../stages/1-gateway/main.ts") },
  sampler: { about: "checks and folds every call, draws a sample for the judges", load: () => import("../stages/2-sampler/main.ts") },
  judge: { about: "scores samples by rubric with a model", load: () => import("../stages/3-judge/main.ts") },
  aggregator: { about: "merges partials into blocks and rolling windows", load: () => import("../stages/4-aggregator/main.ts") },
  decider: { about: "compares, decides, publishes routing and gate events", load: () => import("../stages/5-decider/main.ts") },
  control: { about: "HTTP API and server-sent events over the topics", load: () => import("../stages/6-control/main.ts") },
  prober: { about: "sends golden prompts through the gateway, for the drift watch; optional", load: () => import("../stages/7-prober/main.ts") },
};
/** Roles that `up` leaves out: they need an address that only their operator knows. */
const optional: ReadonlySet<string> = new Set(["prober"]);
export const roleNames: readonly string[] = Object.keys(programs);

/** `headgate <role>`, one command per role. */
export function roleCommands(root: Command, cli: Cli): void {
  for (const [role, { about, load }] of Object.entries(programs)) {
    const command = root.command(role).description(about).helpGroup("Roles (one process each; configured by environment variables)");
    if (role === "gateway") command.option("--workers <n>", "as so many processes that share the port; 1: this process", wholeNumber, 1);
    act(command, cli, async (_args, options) => {
      const count = Number(options.workers ?? 1);
      if (count > 1) {
        const [{ program }, { runWorkers }] = await Promise.all([load(), import("../runtime/run-workers.ts")]);
        // Without a common key a subject would change arm with the worker that its connection happens to reach.
        return runWorkers(program, { count, args: [role], shared: ["HEADGATE_SUBJECT_KEY"], env: cli.env });
      }
      const [{ program }, { runProgram }] = await Promise.all([load(), import("../runtime/run-program.ts")]);
      return runProgram(program, cli.env) satisfies Promise<ExitCode>;
    });
  }
  const up = root
    .command("up")
    .description("all roles in this process, for trying it out and for small installations")
    .option("--apply-topics", "first create or check the topics of the prefix (2 partitions when it is new)")
    .helpGroup("Roles (one process each; configured by environment variables)");
  act(up, cli, async (_args, options) => {
    if (options.applyTopics === true) await applyTopicsFirst(cli);
    const loaded = await Promise.all(Object.entries(programs).flatMap(([role, { load }]) => (optional.has(role) ? [] : [load()])));
    const { runPrograms } = await import("../runtime/run-program.ts");
    return runPrograms(
      loaded.map(({ program }) => program),
      cli.env,
    );
  });
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 256) throw new InvalidArgumentError("it must be a whole number from 1 to 256.");
  return value;
}

async function applyTopicsFirst(cli: Cli): Promise<void> {
  const [{ applyTopics }, { securityOf }, { readSecretFiles }] = await Promise.all([
    import("../runtime/topic-admin.ts"),
    import("../runtime/kafka/security.ts"),
    import("../runtime/process/secret-files.ts"),
  ]);
  const env = readSecretFiles(Object.keys(connectionConfiguration.shape), cli.env);
  const config = parseConfig("up", connectionConfiguration, env);
  const differences = await applyTopics({
    brokers: config.KAFKA_BROKERS.split(","),
    registryUrl: config.SCHEMA_REGISTRY_URL,
    prefix: config.HEADGATE_PREFIX,
    partitions: "small",
    security: securityOf(config),
  });
  const applied = differences.filter(({ remedy }) => remedy === "apply").length;
  cli.terminal.err(applied === 0 ? "topics are as the contracts say" : `topics: ${applied} differences applied`);
}
