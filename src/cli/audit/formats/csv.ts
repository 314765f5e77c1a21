import type { Row } from "./fields.ts";

/** A row of a CSV file with the line that it begins on, from 1. */
export interface CsvRow {
  readonly row: Row;
  readonly line: number;
}

/**
 * Rows of a CSV text by its header (RFC 4180: quoted fields may hold commas, line ends and doubled quotes). All values are text.
 *
 * @throws {Error} a quote that never closes; says the line
 */
export function* csvRows(text: string): Generator<CsvRow> {
  let header: readonly string[] | null = null;
  for (const { fields, line } of records(text)) {
    if (header === null) header = fields.map((field) => field.replace(/^\uFEFF/, "").trim());
    else if (fields.length > 1 || fields[0] !== "") yield { row: Object.fromEntries(header.map((name, i) => [name, fields[i] ?? ""])), line };
  }
}

function* records(text: string): Generator<{ fields: string[]; line: number }> {
  // A field with what ends it; a doubled quote stays within.
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n|\n|\r|$)/y;
  let fields: string[] = [];
  let line = 1;
  let began = 1;
  while (field.lastIndex < text.length) {
    const from = field.lastIndex;
    const match = field.exec(text);
    if (match === null)
      throw new Error(
        `line ${line}: a quote in a field that does not begin with one, or that never closes (at ${JSON.stringify(text.slice(from, from + 20))})`,
      );
    const [whole, value = "", end] = match;
    fields.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    line += whole.split(/\r\n|\n|\r/).length - 1;
    if (end === ",") continue;
    yield { fields, line: began };
    fields = [];
    began = line;
  }
  if (fields.length > 0) yield { fields: [...fields, ""], line: began };
}
