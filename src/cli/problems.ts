import type { Problem } from "../config/schema-problems.ts";

export type { Problem } from "../config/schema-problems.ts";

/** One line per problem: where, and what. */
export function showProblems(problems: readonly Problem[]): string[] {
  return problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
}
