import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { isJson } from "../../domain/checks/is-json.ts";
import { KnownError } from "../../errors/known-error.ts";
import { csvRows } from "./formats/csv.ts";
import { FieldProblem, type Format, type FoundCall, isObject, type Row } from "./formats/fields.ts";
import { langfuse } from "./formats/langfuse.ts";
import { litellm } from "./formats/litellm.ts";
import { normalised } from "./formats/normalised.ts";
import { openai } from "./formats/openai.ts";
import type { Mapping } from "./mapping.ts";

/** In the order in which they are tried: the most particular first. */
const formats: readonly Format[] = [langfuse, litellm, openai, normalised];

/** What a file held. */
export interface ReadFile {
  readonly file: string;
  readonly format: string;
  readonly calls: readonly FoundCall[];
  /** Rows that are no calls (spans, events). */
  readonly skipped: number;
}

interface PlacedRow {
  readonly row: Row;
  /** `line 12`, or `row 12` in a JSON array. */
  readonly place: string;
}

/**
 * Reads recorded calls: JSONL, a JSON array (or an object with one under `data`, `observations` or `rows`), or CSV; gzip accepted. The
 * shape is told from the first rows.
 *
 * @throws {KnownError} REQUEST_INVALID with file, place and field
 */
export async function readCalls(file: string, mapping: Mapping): Promise<ReadFile> {
  const rows = rowsOf(file, await contentOf(file));
  const head = rows.slice(0, 20);
  if (head.length === 0) throw invalid(`${file} holds no rows`, "give an export with at least one call in it");
  const format = formats.find((candidate) => head.some(({ row }) => candidate.fits(row)));
  if (format === undefined) throw unknownShape(file, head[0]);
  const calls: FoundCall[] = [];
  for (const { row, place } of rows) {
    try {
      const call = format.call(mapping.without(row));
      if (call !== null) calls.push(mapping.fill(call, row));
    } catch (error) {
      if (!(error instanceof FieldProblem)) throw error;
      throw invalid(
        `${file}, ${place}: ${error.message}`,
        `correct the field ${error.field}, leave it out where it is not known, or say from where a score passes: --map task_pass=${error.field}>=0.7`,
        {
          file,
          place,
          field: error.field,
        },
      );
    }
  }
  if (calls.length === 0)
    throw invalid(`${file} holds ${rows.length} rows of ${format.name}, and none of them is a call`, "export generations, not spans or events");
  return { file, format: format.name, calls, skipped: rows.length - calls.length };
}

function invalid(problem: string, fix: string, details: Readonly<Record<string, unknown>> = {}): KnownError {
  return new KnownError("REQUEST_INVALID", problem, { fix, details });
}

function unknownShape(file: string, first: PlacedRow | undefined): KnownError {
  const seen = Object.keys(first?.row ?? {})
    .slice(0, 12)
    .join(", ");
  const known = formats.map(({ name, knownBy }) => `  ${name}: ${knownBy}`).join("\n");
  return invalid(
    `${file}, ${first?.place ?? "line 1"}: the shape of these rows is not known; they have ${seen === "" ? "no fields" : seen}. Looked for:\n${known}`,
    "convert to JSONL with the fields of docs/audit.md, one call a line: latency_ms, ttft_ms, cost_usd, output_tokens, error, schema_valid, task_pass, grounded, ended_at, user",
  );
}

async function contentOf(file: string): Promise<Buffer> {
  let content: Buffer;
  try {
    content = await readFile(file === "-" ? "/dev/stdin" : file);
  } catch (error) {
    throw new KnownError("REQUEST_INVALID", `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      fix: "check the path",
      cause: error,
    });
  }
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  try {
    return gunzipSync(content);
  } catch (error) {
    throw new KnownError("REQUEST_INVALID", `${file} begins like gzip and cannot be unpacked`, { fix: "check that the download is whole", cause: error });
  }
}

function rowsOf(file: string, content: Buffer): PlacedRow[] {
  const start = content
    .subarray(0, 4_096)
    .toString("utf8")
    .replace(/^\uFEFF/, "")
    .trimStart();
  if (start.startsWith("[")) return arrayRows(file, content);
  if (!start.startsWith("{")) return tableRows(file, content);
  const end = content.indexOf(0x0a);
  const firstLine = content
    .subarray(0, end === -1 ? content.length : end)
    .toString("utf8")
    .replace(/^\uFEFF/, "")
    .trim();
  // An object that does not end on its line is one document; one that does is a line of many, or holds an array itself.
  return isJson(firstLine) && !(hasOneLine(content) && listIn(JSON.parse(firstLine)) !== null) ? lineRows(file, content) : arrayRows(file, content);
}

function hasOneLine(content: Buffer): boolean {
  const end = content.indexOf(0x0a);
  return end === -1 || content.subarray(end).toString("utf8", 0, 4_096).trim() === "";
}

function listIn(value: unknown): readonly unknown[] | null {
  if (Array.isArray(value)) return value;
  if (!isObject(value)) return null;
  const found = [value.data, value.observations, value.rows].find(Array.isArray);
  return found ?? null;
}

function arrayRows(file: string, content: Buffer): PlacedRow[] {
  let list: readonly unknown[] | null;
  try {
    list = listIn(JSON.parse(content.toString("utf8").replace(/^\uFEFF/, "")));
  } catch (error) {
    throw new KnownError("REQUEST_INVALID", `${file} begins like JSON and is none: ${error instanceof Error ? error.message : String(error)}`, {
      fix: "give JSONL (one object a line), a JSON array, or CSV",
      cause: error,
    });
  }
  if (list === null) throw invalid(`${file} is one JSON object without an array of rows (data, observations, rows)`, "give JSONL, or a JSON array of calls");
  return list.map((row, i) => placed(file, row, `row ${i + 1}`));
}

function placed(file: string, row: unknown, place: string): PlacedRow {
  if (!isObject(row)) throw invalid(`${file}, ${place}: ${JSON.stringify(row)?.slice(0, 60)} is no object`, "each row must be an object of fields");
  return { row, place };
}

/** Line by line, so that a large file never becomes one text. */
function lineRows(file: string, content: Buffer): PlacedRow[] {
  const rows: PlacedRow[] = [];
  let line = 0;
  for (let from = 0; from < content.length; ) {
    const end = content.indexOf(0x0a, from);
    const text = content
      .toString("utf8", from, end === -1 ? content.length : end)
      .replace(/^\uFEFF/, "")
      .trim();
    from = end === -1 ? content.length : end + 1;
    line++;
    if (text === "") continue;
    let row: unknown;
    try {
      row = JSON.parse(text);
    } catch (error) {
      throw new KnownError("REQUEST_INVALID", `${file}, line ${line}: no JSON: ${error instanceof Error ? error.message : String(error)}`, {
        fix: "each line must be one JSON object; check whether the file was cut",
        cause: error,
      });
    }
    rows.push(placed(file, row, `line ${line}`));
  }
  return rows;
}

function tableRows(file: string, content: Buffer): PlacedRow[] {
  try {
    return [...csvRows(content.toString("utf8"))].map(({ row, line }) => ({ row, place: `line ${line}` }));
  } catch (error) {
    throw new KnownError("REQUEST_INVALID", `${file}, ${error instanceof Error ? error.message : String(error)}`, {
      fix: "give JSONL, a JSON array, or CSV with a header",
      cause: error,
    });
  }
}
