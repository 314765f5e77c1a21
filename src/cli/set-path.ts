import { parse } from "yaml";
import { KnownError } from "../errors/known-error.ts";

type Part = string | number;

/**
 * Sets one value in a spec, as `--set PATH=VALUE` says: the path as error messages write it (`dwell.min`,
 * `signals[0].margin.limit` or, by name, `signals.task_completion.margin.limit`, `versions["gpt-b@2026-11"].model`), the value as YAML. Missing objects on the way are made.
 *
 * @returns a copy; the document itself is not changed
 * @throws {KnownError} REQUEST_INVALID
 */
export function setPath(document: unknown, assignment: string): unknown {
  const { path, value } = parseAssignment(assignment);
  return withValue(document, path, { value, assignment });
}

function parseAssignment(assignment: string): { readonly path: readonly Part[]; readonly value: unknown } {
  const [, pathText = "", valueText = ""] = /^((?:\[(?:"(?:[^"\\]|\\.)*"|\d+)\]|[^=[\]])+)=(.*)$/s.exec(assignment) ?? [];
  const path = parsePath(pathText);
  if (path === undefined) throw bad(assignment, "is not PATH=VALUE");
  try {
    return { path, value: parse(valueText) };
  } catch {
    throw bad(assignment, "has a value that is not YAML");
  }
}

function parsePath(text: string): readonly Part[] | undefined {
  const parts: Part[] = [];
  let rest = text;
  while (rest !== "") {
    const [match, quoted, index, name] = /^(?:\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|\.?([^.[\]="]+))/.exec(rest) ?? [];
    if (match === undefined) return undefined;
    parts.push(quoted !== undefined ? (JSON.parse(quoted) as string) : index !== undefined ? Number(index) : (name ?? ""));
    rest = rest.slice(match.length);
  }
  return parts.length === 0 ? undefined : parts;
}

function withValue(node: unknown, path: readonly Part[], about: { readonly value: unknown; readonly assignment: string }): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return about.value;
  if (typeof part === "number") {
    if (!Array.isArray(node) || part > node.length) throw bad(about.assignment, `has [${part}], but there is no such entry in the spec`);
    const copy: unknown[] = [...node];
    copy[part] = withValue(node[part], rest, about);
    return copy;
  }
  if (Array.isArray(node)) return withNamed(node, part, rest, about);
  if (node !== undefined && (node === null || typeof node !== "object" || Array.isArray(node)))
    throw bad(about.assignment, `goes through ${part}, but what holds it is not an object`);
  const entries = Object.entries((node ?? {}) as Record<string, unknown>);
  // Object.fromEntries defines own properties: a key such as __proto__ stays a key.
  return Object.fromEntries([...entries.filter(([key]) => key !== part), [part, withValue(entries.find(([key]) => key === part)?.[1], rest, about)]]);
}

/** An entry of a list by its name, as `signals.task_completion`: a bare name becomes an object when something of it is set. */
function withNamed(list: readonly unknown[], name: string, rest: readonly Part[], about: { readonly value: unknown; readonly assignment: string }): unknown {
  const isNamed = (entry: unknown) => entry === name || (typeof entry === "object" && entry !== null && (entry as { name?: unknown }).name === name);
  const place = list.findIndex(isNamed);
  if (place < 0) throw bad(about.assignment, `names ${name}, but no entry of the list has this name`);
  const entry = typeof list[place] === "string" ? { name } : list[place];
  return list.map((other, i) => (i === place ? withValue(entry, rest, about) : other));
}

function bad(assignment: string, why: string): KnownError {
  return new KnownError("REQUEST_INVALID", `--set ${assignment} ${why}`, {
    fix: "write for example --set dwell.min=10s or --set 'versions[\"gpt-b@2026-11\"].model=gpt-b'",
  });
}
