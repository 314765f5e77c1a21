import { z } from "zod";
import type { CatalogEntry, DeclaredRollout, RolloutSpec } from "../../../topics/index.ts";
import { type Problem, schemaProblems } from "../../config/schema-problems.ts";
import { builtinRubrics } from "../../domain/judging/builtin.ts";
import { KnownError } from "../../errors/known-error.ts";
import { digestOf } from "./digest.ts";
import { readYaml } from "./spec-document.ts";

/** A rubric's text as a caller brings it; `name` is name@version. */
export interface GivenRubric {
  readonly name: string;
  readonly text: string;
}

type Wanted = DeclaredRollout["rubrics"][number];

/** What control reads of a rubric: which signals it scores. The judge reads all of it. */
const rubricHead = z.looseObject({
  signals: z
    .array(z.looseObject({ name: z.string().min(1), form: z.enum(["binary", "score"]).describe("binary: pass or fail; score: 0..1") }))
    .min(1)
    .describe("what the judge scores"),
});

/**
 * Resolves the rubrics that a spec names: texts given beside the spec, else what the catalog holds under that name, else
 * the rubric of that name that comes with headgate. A name@version is one text for good: the same name with another text
 * is refused.
 *
 * @throws {KnownError} RUBRIC_INVALID; CONFLICT when a name is taken by another text; SPEC_INVALID when a name is unknown
 */
export function resolveRubrics(
  spec: RolloutSpec,
  given: readonly GivenRubric[],
  at: { readonly catalog: { entries(): IterableIterator<[string, CatalogEntry]> }; readonly nowMs: number },
): { readonly wanted: Wanted[]; readonly entries: readonly CatalogEntry[] } {
  const names = wantedNames(spec);
  const stored = new Map<string, CatalogEntry>();
  for (const [, entry] of at.catalog.entries()) if (entry.kind === "rubric") stored.set(entry.name, entry);
  checkNamed(given, names);
  const errors: Problem[] = [];
  const wanted: Wanted[] = [];
  const entries: CatalogEntry[] = [];
  for (const name of names) {
    const text = given.find((rubric) => rubric.name === name)?.text;
    const known = stored.get(name);
    if (text !== undefined && known !== undefined && known.digest !== digestOf(text)) throw takenName(name, known);
    const found = text ?? known?.text ?? builtinRubrics.find((rubric) => rubric.name === name)?.text;
    if (found === undefined) {
      errors.push({
        path: "judge.rubric",
        message: `names ${name}, which is neither given beside the spec nor in the catalog (known: ${[...stored.keys()].join(", ") || "none"})`,
      });
      continue;
    }
    const digest = digestOf(found);
    wanted.push({ name, digest, signals: signalsOf(name, found) });
    entries.push({ digest, kind: "rubric", name, text: found, atMs: at.nowMs });
  }
  if (errors.length > 0)
    throw new KnownError("SPEC_INVALID", "the spec names a rubric that is not known", {
      fix: "give its text: headgate rollout apply --rubric FILE",
      details: { errors },
    });
  return { wanted, entries };
}

function wantedNames(spec: RolloutSpec): readonly string[] {
  const rubric = spec.judge?.rubric;
  if (rubric === undefined) return [];
  return [...new Set(typeof rubric === "string" ? [rubric] : rubric)];
}

function checkNamed(given: readonly GivenRubric[], names: readonly string[]): void {
  const stray = given.filter((rubric) => !names.includes(rubric.name)).map((rubric) => rubric.name);
  if (stray.length === 0) return;
  throw new KnownError("RUBRIC_INVALID", `rubric ${stray.join(", ")} is given but the spec does not name it (it names: ${names.join(", ") || "none"})`, {
    fix: "name it under judge.rubric, or leave it out",
    details: { errors: stray.map((name) => ({ path: "rubrics", message: `${name} is not named by judge.rubric` })) },
  });
}

function takenName(name: string, known: CatalogEntry): KnownError {
  return new KnownError("CONFLICT", `rubric ${name} is in the catalog already with another text (digest ${known.digest})`, {
    fix: "give the changed rubric a new version, for example by counting up the number after @",
  });
}

function signalsOf(name: string, text: string): Wanted["signals"] {
  const parsed = rubricHead.safeParse(readYaml(text, `rubric ${name}`));
  if (!parsed.success) {
    const errors = schemaProblems(rubricHead, parsed.error.issues).map((problem) => ({ ...problem, path: `rubrics[${JSON.stringify(name)}].${problem.path}` }));
    throw new KnownError("RUBRIC_INVALID", `rubric ${name} is not valid`, { fix: "correct the fields listed", details: { errors } });
  }
  return parsed.data.signals.map(({ name: signal, form }) => ({ name: signal, form: form === "score" ? "grid" : "binary" }));
}
