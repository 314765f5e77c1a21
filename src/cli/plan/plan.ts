import type { Command } from "commander";
import { adviceFor, plannerProblems } from "../../domain/planning/advice.ts";
import { planRollout } from "../../domain/planning/forecast.ts";
import { smallestHoldback } from "../../domain/planning/holdback.ts";
import type { RolloutPlan } from "../../domain/rollout/spec/plan.ts";
import { KnownError } from "../../errors/known-error.ts";
import { act, type Cli } from "../cli.ts";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { showProblems } from "../problems.ts";
import { connectionOptions } from "../rollout/connection.ts";
import { checkSpec, readRubricFiles, readSpecFile } from "../rollout/spec-file.ts";
import { showPlan } from "./table.ts";
import { readVolume, type Volume, type VolumeOptions, volumeOptions } from "./volume.ts";

/** What is planned for when no volume is given. */
const ASSUMED_RPS = 10;

const collect = (value: string, values: readonly string[]): readonly string[] => [...values, value];

interface PlanCommandOptions extends VolumeOptions {
  readonly rubric: readonly string[];
  readonly set: readonly string[];
  readonly effect: readonly string[];
  readonly judgeCost?: string;
  readonly json?: boolean;
}

/** `headgate plan` */
export function planCommand(command: Command, cli: Cli): Command {
  return act(
    connectionOptions(volumeOptions(command))
      .description("how long each step of a spec takes: to stop a bad candidate, to pass a good one, and what that costs")
      .argument("<spec>", "the spec, YAML or JSON; - reads standard input")
      .option("--effect <signal=x>", "also ask about a candidate that is worse by x (0.1 is 10 points, or +10 %); repeatable", collect, [])
      .option("--judge-cost <usd>", "price of one judgement in USD")
      .option("--rubric <file>", "a rubric that the spec names; repeatable", collect, [])
      .option("--set <path=value>", "set one value of the spec before; repeatable", collect, [])
      .option("--json", "for machines, as -o json"),
    cli,
    ([file = ""], options) => plan(cli, file, options as unknown as PlanCommandOptions),
  );
}

async function plan(cli: Cli, file: string, options: PlanCommandOptions): Promise<ExitCode> {
  const checked = checkSpec(await readSpecFile(cli, file, options.set), await readRubricFiles(cli, options.rubric));
  if (checked.plan === null) {
    throw new KnownError("SPEC_INVALID", [`${file} is not a valid spec`, ...showProblems(checked.problems)].join("\n  "), {
      fix: "correct the fields above; headgate rollout schema prints what is allowed",
    });
  }
  const volume = (await readVolume(cli, options, checked.plan)) ?? assumedVolume;
  const forecast = planRollout(checked.plan, volume.traffic, { effects: effectsOf(options.effect, checked.plan), ...priceOf(options.judgeCost) });
  const { problems, notices } = plannerProblems(checked.plan, volume.traffic);
  const advice = forecast.steps.flatMap((step) => adviceFor(checked.plan as RolloutPlan, volume.traffic, step).map((one) => ({ step: step.step, ...one })));
  const holdback = smallestHoldback(checked.plan, volume.traffic);
  if (options.json === true || options.output === "json") {
    cli.terminal.out(
      JSON.stringify(
        {
          file,
          volume: { callsPerMinute: volume.traffic.callsPerMinute, source: volume.source },
          forecast,
          smallestHoldback: holdback,
          problems,
          advice,
          notices: [...checked.notices, ...notices],
        },
        null,
        2,
      ),
    );
    return exitCode.ok;
  }
  for (const notice of [...checked.notices, ...notices]) cli.terminal.err(`${file}: note: ${notice}`);
  const enough = holdback.isEnough ? "finds harm at every limit within 24 h" : "is the largest, and does not find harm at every limit within 24 h";
  const about = [`Smallest holdback: ${holdback.percent} % ${enough}.`];
  cli.terminal.out(showPlan(forecast, { volume, problems: showProblems(problems), advice: about, terminal: cli.terminal }));
  return exitCode.ok;
}

const assumedVolume: Volume = {
  traffic: { callsPerMinute: ASSUMED_RPS * 60 },
  source: "assumed, since none was given; give --rps N or --from-topics",
};

function priceOf(text: string | undefined): { readonly judgeCostUsd?: number } {
  if (text === undefined) return {};
  const price = Number(text);
  if (text.trim() !== "" && price >= 0 && Number.isFinite(price)) return { judgeCostUsd: price };
  throw new KnownError("REQUEST_INVALID", `--judge-cost ${text} is not an amount in USD`, { fix: "write for example --judge-cost 0.002" });
}

/** @throws {KnownError} REQUEST_INVALID for a signal that is no guardrail of the spec, or a harm that is none */
function effectsOf(texts: readonly string[], { signals }: RolloutPlan): Record<string, readonly number[]> {
  const guardrails = signals.filter(({ tier }) => tier === "guardrail").map(({ name }) => name);
  const effects: Record<string, readonly number[]> = {};
  for (const text of texts) {
    const at = text.lastIndexOf("=");
    const name = text.slice(0, Math.max(at, 0));
    const effect = Number(text.slice(at + 1));
    if (!guardrails.includes(name)) {
      throw new KnownError("REQUEST_INVALID", `--effect ${text} names no guardrail of the spec`, {
        fix: `write SIGNAL=X with one of ${guardrails.join(", ")}`,
      });
    }
    if (!(effect > 0 && effect <= 10)) {
      throw new KnownError("REQUEST_INVALID", `--effect ${text} is not a harm`, { fix: `give a fraction above 0, for example ${name}=0.1` });
    }
    effects[name] = [...(effects[name] ?? []), effect];
  }
  return effects;
}
