import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { createGunzip } from "node:zlib";
import { KnownError } from "../../errors/known-error.ts";

/** A line of a file, counted from 1. */
export interface Line {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** First bytes of a gzip member (RFC 1952, section 2.3.1). */
const GZIP_MAGIC = [0x1f, 0x8b] as const;

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === GZIP_MAGIC[0] && buffer[1] === GZIP_MAGIC[1];
  } finally {
    await handle.close();
  }
}

/** Bytes of a file, unpacked when it is gzip, whatever its name. */
async function bytesOf(file: string): Promise<AsyncIterable<Buffer>> {
  const isPacked = await isGzip(file);
  const raw = createReadStream(file, { highWaterMark: 256 * 1024 });
  // Whoever reads the unpacked stream gets the error of either; the callback only keeps it from being thrown a second time.
  return isPacked ? pipeline(raw, createGunzip(), () => {}) : raw;
}

/**
 * The lines of a text file, plain or gzip, that are not blank. The file is streamed: however long it is, a line of it is held.
 *
 * @throws {KnownError} REQUEST_INVALID when it cannot be read or unpacked
 */
export async function* linesOf(file: string): AsyncGenerator<Line> {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  let line = 0;
  try {
    for await (const chunk of await bytesOf(file)) {
      const parts = (rest + decoder.write(chunk)).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        line++;
        const text = trimmed(part, line);
        if (text !== "") yield { file, line, text };
      }
    }
  } catch (cause) {
    if (cause instanceof KnownError) throw cause;
    throw new KnownError("REQUEST_INVALID", `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fix: "check the path, and that the file is whole: JSON lines, plain or gzip",
      details: { file },
      cause,
    });
  }
  const last = trimmed(rest + decoder.end(), line + 1);
  if (last !== "") yield { file, line: line + 1, text: last };
}

/** Without white space around it, and without the byte order mark that some exports begin with. */
const trimmed = (text: string, line: number): string => (line === 1 && text.startsWith("\ufeff") ? text.slice(1) : text).trim();

/** What is wrong with a line, as an error that ends the command. */
export function badLine({ file, line }: Pick<Line, "file" | "line">, field: string | null, what: string, fix: string): KnownError {
  const where = `${file}:${line}`;
  return new KnownError("REQUEST_INVALID", `${where}: ${field === null ? "" : `${field} `}${what}`, { fix, details: { file, line, field } });
}

/**
 * A line as a JSON object.
 *
 * @throws {KnownError} REQUEST_INVALID
 */
export function objectOf(line: Line): Readonly<Record<string, unknown>> {
  const fix = "give one JSON object a line (JSONL)";
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch (cause) {
    throw badLine(line, null, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, fix);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw badLine(line, null, "is not a JSON object", fix);
  return value as Readonly<Record<string, unknown>>;
}
