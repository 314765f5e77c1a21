import type { Command } from "commander";
import type { RolloutSpec, RoutingTable } from "../../../topics/index.ts";
import { rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import type { ReplayResult } from "../../domain/replay/replay.ts";
import { WhatIf, type WhatIfResult } from "../../domain/replay/what-if.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { showProblems } from "../problems.ts";
import { wholeNumber } from "../rollout/apply.ts";
import { readSpecFile } from "../rollout/spec-file.ts";
import { setPath } from "../set-path.ts";
import { openBundle } from "./bundle.ts";
import type { History } from "./history.ts";
import { openKafkaHistory } from "./kafka-history.ts";
import { replayDeps, runReplay } from "./run-replay.ts";
import { showReplay, showWhatIf } from "./show-replay.ts";

interface ReplayOptions {
  readonly bundle?: string;
  readonly whatIf?: string;
  readonly set: readonly string[];
  readonly attempt?: string;
  readonly json?: boolean;
}

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

/** `headgate replay` */
export function replayCommand(command: Command, cli: Cli): Command {
  command
    .description("recompute a route's history from its evidence alone, and compare it with what was decided")
    .argument("[route]", "the route, or the id of a rollout on it; not needed with --bundle")
    .option("--bundle <file>", "read a file of `headgate evidence export` instead of Kafka")
    .option("--what-if <file>", "what another spec would have done with the same evidence")
    .option("--set <path=value>", "what the declared spec with one other value would have done; repeatable", collect, [])
    .option("--attempt <n>", "with --what-if or --set: this attempt instead of the newest")
    .option("--json", "for machines");
  return act(command, cli, ([route], options) => replay(cli, route, options as unknown as ReplayOptions));
}

/** @throws {KnownError} REQUEST_INVALID when neither a route nor a file is named, or the file is about another route */
export async function openHistory(cli: Cli, name: string | undefined, bundle: string | undefined): Promise<History> {
  if (bundle === undefined) {
    if (name === undefined) throw new KnownError("REQUEST_INVALID", "no route is named", { fix: "write headgate replay ROUTE, or name a file with --bundle" });
    return openKafkaHistory(cli, name);
  }
  const history = await openBundle(bundle);
  if (name === undefined || name === history.route || name === history.rollout) return history;
  await history.close();
  throw new KnownError("REQUEST_INVALID", `${bundle} is about route ${history.route}, not ${name}`, { fix: "leave the name out, or name another file" });
}

async function replay(cli: Cli, route: string | undefined, options: ReplayOptions): Promise<ExitCode> {
  const { whatIf: file, set, attempt } = options;
  const isWhatIf = file !== undefined || set.length > 0;
  if (attempt !== undefined && !isWhatIf)
    throw new KnownError("REQUEST_INVALID", "--attempt has no meaning without --what-if or --set", {
      fix: "leave it out: a replay is always of the whole history",
    });
  const given = file === undefined ? undefined : await readSpecFile(cli, file, []);
  const history = await openHistory(cli, route, options.bundle);
  try {
    const other = isWhatIf
      ? new WhatIf({
          deps: replayDeps,
          attempt: attempt === undefined ? undefined : wholeNumber(attempt, "--attempt"),
          change: (declared, rubrics) => changedSpec(declared, rubrics, { given, set }),
        })
      : null;
    const result = await runReplay(history, (replayed) => {
      other?.take(replayed);
      return true;
    });
    const found = other?.result() ?? null;
    if (isWhatIf && found === null && result.kind === "same") {
      const which = attempt === undefined ? "no attempt" : `no attempt ${attempt}`;
      throw new KnownError("NOT_FOUND", `${which} was started in this history`, { fix: "headgate replay ROUTE --json, or rollout get, show the attempts" });
    }
    print(cli, { history, result, found, isJson: options.json === true });
    return codeOf(result);
  } finally {
    await history.close();
  }
}

function print(
  cli: Cli,
  about: { readonly history: History; readonly result: ReplayResult; readonly found: WhatIfResult | null; readonly isJson: boolean },
): void {
  const { history, result, found } = about;
  if (about.isJson) {
    const { route, from, partition } = history;
    cli.terminal.out(JSON.stringify({ route, from, partition, ...result, ...(found === null ? {} : { whatIf: found }) }));
    return;
  }
  cli.terminal.out(showReplay(history, result));
  if (found !== null) cli.terminal.out(`\n${showWhatIf(found, cli.terminal)}`);
}

function codeOf({ kind }: ReplayResult): ExitCode {
  if (kind === "same") return exitCode.ok;
  return kind === "different" ? exitCode.failed : exitCode.progressing;
}

/** The declared spec, or the given one, with the assignments; it must be about the same two versions, whose evidence there is. */
function changedSpec(
  declared: RolloutSpec,
  rubrics: RoutingTable["rubrics"],
  { given, set }: { readonly given: unknown; readonly set: readonly string[] },
): RolloutSpec {
  const value = set.reduce<unknown>(setPath, given ?? declared);
  const parsed = rolloutSpec.safeParse(value);
  const fix = "correct the fields above; headgate rollout schema prints what is allowed";
  if (!parsed.success) {
    throw new KnownError("SPEC_INVALID", ["the other spec is not valid", ...showProblems(schemaProblems(rolloutSpec, parsed.error.issues))].join("\n  "), {
      fix,
    });
  }
  for (const field of ["route", "baseline", "candidate"] as const) {
    if (parsed.data[field] !== declared[field]) {
      throw new KnownError("SPEC_INVALID", `${field} is ${parsed.data[field]}, but the evidence is of ${declared[field]}`, {
        fix: `what other settings would have done can be told only of the same route and versions: leave ${field} as it was`,
      });
    }
  }
  const normalised = normaliseSpec(parsed.data, rubrics);
  if (normalised.kind === "plan") return parsed.data;
  throw new KnownError("SPEC_INVALID", ["the other spec cannot be run", ...showProblems(normalised.problems)].join("\n  "), { fix });
}
