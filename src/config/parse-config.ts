import type { z } from "zod";
import { KnownError } from "../errors/known-error.ts";

/**
 * Reads a role's configuration from the environment, once, and reports every wrong variable at the same time.
 * Values are never printed: they may be secrets. A blank value is an absent one, and a line break at the end is none of it: `echo` leaves one in what it
 * writes into a secret. For any variable NAME that the shape declares, NAME_FILE names a file
 * that holds it (the caller resolves those first, see `readSecretFiles`).
 *
 * @throws {KnownError} CONFIG_INVALID, naming each variable with the description that its schema carries
 */
export function parseConfig<Shape extends z.ZodObject>(role: string, shape: Shape, env: Readonly<Record<string, string | undefined>>): z.output<Shape> {
  const present = Object.fromEntries(
    Object.keys(shape.shape).flatMap((name) => {
      const value = valueMeant(env[name]);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const parsed = shape.safeParse(present);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const variable = issue.path.join(".");
    const field = shape.shape[variable] as z.ZodType | undefined;
    const state = present[variable] === undefined ? "is not set" : "is not valid";
    return `${variable} ${state} (${issue.message}). ${field?.description ?? ""}`.trim();
  });
  throw new KnownError("CONFIG_INVALID", `${role} cannot start:\n  ${lines.join("\n  ")}`, {
    fix: `set the variables above; the configuration table in README.md lists all of them`,
  });
}

/** A variable's value as it is meant; undefined when it is blank. */
export function valueMeant(given: string | undefined): string | undefined {
  return given === undefined || given.trim() === "" ? undefined : given.replace(/(\r?\n)+$/, "");
}
