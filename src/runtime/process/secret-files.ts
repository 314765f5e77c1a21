import { readFileSync } from "node:fs";
import { KnownError } from "../../errors/known-error.ts";

/**
 * For every declared variable NAME that is not set, NAME_FILE may name a file that holds its value (a secret mounted as a
 * file). A trailing line break is dropped. Names that are declared themselves, such as HEADGATE_CONTROL_TOKEN_FILE, are left alone.
 *
 * @param names every variable that is declared
 * @throws {KnownError} CONFIG_INVALID when such a file cannot be read; the content is never shown
 */
export function readSecretFiles(names: readonly string[], env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string | undefined>> {
  const declared = new Set(names);
  const resolved: Record<string, string | undefined> = { ...env };
  for (const name of names) {
    const variable = `${name}_FILE`;
    const path = env[variable];
    if (path === undefined || path === "" || declared.has(variable)) continue;
    if (env[name] !== undefined && env[name] !== "") {
      throw new KnownError("CONFIG_INVALID", `${name} and ${variable} are both set`, { fix: "set one of them" });
    }
    try {
      resolved[name] = readFileSync(path, "utf8").replace(/\r?\n$/, "");
    } catch (cause) {
      throw new KnownError("CONFIG_INVALID", `the file of ${variable} cannot be read: ${path}`, { fix: "check the path and its permissions", cause });
    }
  }
  return resolved;
}
