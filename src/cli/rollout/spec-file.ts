import { parseDocument } from "yaml";
import { z } from "zod";
import { type RolloutSpec, rolloutSpec } from "../../../topics/rollout-spec.ts";
import { schemaProblems } from "../../config/schema-problems.ts";
import { normaliseSpec } from "../../domain/rollout/spec/normalise.ts";
import type { RolloutPlan } from "../../domain/rollout/spec/plan.ts";
import { presets } from "../../domain/rollout/spec/presets.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { Cli } from "../cli.ts";
import { type Problem, showProblems } from "../problems.ts";
import { setPath } from "../set-path.ts";

/** A rubric file, read as far as the command line needs it. */
export interface RubricFile {
  readonly name: string;
  readonly signals: readonly { readonly name: string; readonly form: "binary" | "grid" }[];
  readonly text: string;
}

const rubricHead = z.looseObject({
  name: z.string().min(1).describe("name@version, for example task@1"),
  signals: z.array(z.looseObject({ name: z.string().min(1), form: z.enum(["binary", "score"]) })).min(1),
});

/** Reads a spec file (YAML or JSON) and applies the `--set` assignments to it, in order. */
export async function readSpecFile(cli: Cli, path: string, assignments: readonly string[]): Promise<unknown> {
  const spec = readYaml(await readText(cli, path), path, "SPEC_INVALID");
  return assignments.reduce<unknown>(setPath, spec);
}

/** Rubric files, each with the name@version of its field `name`. */
export async function readRubricFiles(cli: Cli, paths: readonly string[]): Promise<RubricFile[]> {
  return Promise.all(
    paths.map(async (path) => {
      const text = await readText(cli, path);
      const parsed = rubricHead.safeParse(readYaml(text, path, "RUBRIC_INVALID"));
      if (parsed.success)
        return { name: parsed.data.name, signals: parsed.data.signals.map(({ name, form }) => ({ name, form: form === "score" ? "grid" : "binary" })), text };
      const lines = showProblems(schemaProblems(rubricHead, parsed.error.issues));
      throw new KnownError("RUBRIC_INVALID", [`${path} is not a rubric`, ...lines].join("\n  "), { fix: "correct the fields above" });
    }),
  );
}

export interface Checked {
  readonly problems: readonly Problem[];
  /** What was decided otherwise than written, or could not be checked. */
  readonly notices: readonly string[];
  /** The spec with every default filled in; null when it is wrong. */
  readonly plan: RolloutPlan | null;
}

/** What is wrong with a spec, without asking anybody: its schema first; whether it makes sense only when that fits. */
export function checkSpec(spec: unknown, rubrics: readonly RubricFile[]): Checked {
  const parsed = rolloutSpec.safeParse(spec);
  if (!parsed.success) return { problems: schemaProblems(rolloutSpec, parsed.error.issues), notices: [], plan: null };
  const wanted = [parsed.data.judge?.rubric ?? []].flat();
  const absent = wanted.filter((name) => rubrics.every((rubric) => rubric.name !== name));
  const known = wanted
    .flatMap((name) => rubrics.filter((rubric) => rubric.name === name))
    .map(({ name, signals }) => ({ name, digest: "", signals: [...signals] }));
  const assumed = absent.map((name) => ({ name, digest: "", signals: assumedSignals(parsed.data) }));
  const normalised = normaliseSpec(parsed.data, [...known, ...assumed]);
  const unread = absent.map((name) => `rubric ${name} was not given: that it scores the judged signals was not checked`);
  if (normalised.kind === "refused") return { problems: normalised.problems, notices: unread, plan: null };
  return { problems: [], notices: [...normalised.notices, ...unread], plan: normalised.plan };
}

/** A rubric that is not here is taken to score whatever no call measures. */
function assumedSignals(spec: RolloutSpec): { name: string; form: "binary" | "grid" }[] {
  return spec.signals.flatMap((entry) => {
    const signal = typeof entry === "string" ? { name: entry } : entry;
    const isMeasured = Object.hasOwn(presets, signal.name) && presets[signal.name]?.source === "call";
    return isMeasured ? [] : [{ name: signal.name, form: "form" in signal && signal.form === "score" ? ("grid" as const) : ("binary" as const) }];
  });
}

async function readText(cli: Cli, path: string): Promise<string> {
  try {
    return await cli.read(path);
  } catch (cause) {
    throw new KnownError("REQUEST_INVALID", `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fix: "check the path; - reads standard input",
      cause,
    });
  }
}

function readYaml(text: string, path: string, code: "SPEC_INVALID" | "RUBRIC_INVALID"): unknown {
  const document = parseDocument(text);
  if (document.errors.length === 0) return document.toJS({ maxAliasCount: 50 });
  const lines = document.errors.map(
    (error) => `${path}${error.linePos === undefined ? "" : `:${error.linePos[0].line}:${error.linePos[0].col}`}: ${error.message.split("\n")[0]}`,
  );
  throw new KnownError(code, `${path} is not valid YAML\n  ${lines.join("\n  ")}`, { fix: "correct the syntax" });
}
