import { z } from "zod";

/** One thing that is wrong in a document that a person wrote, and where. */
export interface Problem {
  /** As the person would write it, for example `signals[0].margin.limit`; empty for the whole document. */
  readonly path: string;
  /** What is wrong and what to write instead. */
  readonly message: string;
}

interface SchemaNode {
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/**
 * Turns zod's issues into problems that name the field and the fix: what the field means (its description), which values
 * it takes, and the nearest known name for an unknown one. Of a union that fits in no form, the form that got furthest
 * is reported.
 */
export function schemaProblems(schema: z.ZodType, issues: readonly z.core.$ZodIssue[]): Problem[] {
  const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as SchemaNode;
  return issues.flatMap((issue) => problemsOf(root, issue, []));
}

/** A path as a person writes it: `versions["gpt-b@2026-11"].model`. */
export function showPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((shown, part) => {
    if (typeof part === "number") return `${shown}[${part}]`;
    const name = String(part);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `${shown}[${JSON.stringify(name)}]`;
    return shown === "" ? name : `${shown}.${name}`;
  }, "");
}

function problemsOf(root: SchemaNode, issue: z.core.$ZodIssue, above: readonly PropertyKey[]): Problem[] {
  const path = [...above, ...issue.path];
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownField(root, path, key));
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const nearest = nearestForm(issue.errors);
    if (nearest !== undefined) return nearest.flatMap((inner) => problemsOf(root, inner, path));
  }
  const node = nodeAt(root, path);
  const missing = issue.code === "invalid_type" && /received undefined$/.test(issue.message);
  const what = missing ? "is missing" : issue.message;
  return [{ path: showPath(path), message: node?.description === undefined ? what : `${what}. It is: ${node.description}` }];
}

/** The form whose first issue lies deepest: `{name: 5}` is a wrong signal object, not a wrong string. */
function nearestForm(forms: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | undefined {
  const depth = (form: readonly z.core.$ZodIssue[]): number => {
    if (form.some((issue) => issue.path.length === 0 && issue.code === "invalid_type")) return -1;
    return Math.max(0, ...form.map((issue) => issue.path.length));
  };
  const ranked = forms.map((form) => ({ form, depth: depth(form) })).sort((a, b) => b.depth - a.depth);
  const [best, next] = ranked;
  // Two forms that fit equally badly ("must be a string or a number"): the union's own message says it better.
  return best === undefined || best.depth < 0 || (next !== undefined && next.depth === best.depth) ? undefined : best.form;
}

function unknownField(root: SchemaNode, path: readonly PropertyKey[], key: string): Problem {
  const known = fieldsOf(nodeAt(root, path));
  const nearest = known.map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) })).sort((a, b) => a.distance - b.distance)[0];
  const fix = nearest !== undefined && nearest.distance <= Math.max(2, key.length / 3) ? `did you mean ${nearest.name}?` : `fields here: ${known.join(", ")}`;
  return { path: showPath([...path, key]), message: `is not a field; ${fix}` };
}

function fieldsOf(node: SchemaNode | undefined): string[] {
  if (node === undefined) return [];
  return [...Object.keys(node.properties ?? {}), ...(node.anyOf ?? []).flatMap(fieldsOf)];
}

function nodeAt(node: SchemaNode | undefined, path: readonly PropertyKey[]): SchemaNode | undefined {
  const [part, ...rest] = path;
  if (node === undefined || part === undefined) return node;
  const forms = [node, ...(node.anyOf ?? [])];
  const child = forms.map((form) => childOf(form, part)).find((found) => found !== undefined);
  return nodeAt(child, rest);
}

function childOf(node: SchemaNode, part: PropertyKey): SchemaNode | undefined {
  if (typeof part === "number") return node.items;
  const named = node.properties?.[String(part)];
  if (named !== undefined) return named;
  return typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
}

/** Levenshtein distance; for the few short names of a schema. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? a.length;
}
