import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip, gzipSync } from "node:zlib";
import { z } from "zod";
import { type CatalogEntry, catalog, type EvidenceEntry, evidence, type GateEvent, gateEvents } from "../../../topics/index.ts";
import { version } from "../../config/version.ts";
import { canonicalJson } from "../../domain/rollout/canonical-json.ts";
import { INPUT_LAYOUT } from "../../domain/rollout/input.ts";
import { STATE_LAYOUT } from "../../domain/rollout/state.ts";
import { KnownError } from "../../errors/known-error.ts";
import { EventShelf } from "./event-shelf.ts";
import type { History } from "./history.ts";

/**
 * A history in one file: gzipped JSON lines `{n, kind, value, digest}`. The digest of a line is the SHA-256 of the digest of
 * the line before, its kind and its value in canonical JSON, so that the last one stands for the whole file.
 * Order: header, gate events, evidence, catalog, end.
 */
const FORMAT = "headgate-evidence";
const FORMAT_VERSION = 1;
/** Lines are packed in pieces of about so many bytes. */
const PIECE_BYTES = 1_000_000;

const headerShape = z.looseObject({
  format: z.literal(FORMAT),
  version: z.literal(FORMAT_VERSION),
  route: z.string(),
  rollout: z.string().nullable(),
  from: z.string(),
  partition: z.int(),
  evidenceFromOffset: z.int(),
  evidenceToOffset: z.int(),
  isEventHeadGone: z.boolean(),
  inputLayout: z.int(),
  stateLayout: z.int(),
  codeVersion: z.string(),
  exportedAtMs: z.number(),
});
export type BundleHeader = z.output<typeof headerShape>;
const evidenceLine = z.object({ offset: z.int(), entry: evidence.shape });
const endShape = z.object({ lines: z.int(), gateEvents: z.int(), evidence: z.int(), catalog: z.int() });
const lineShape = z.object({ n: z.int(), kind: z.enum(["header", "gate-event", "evidence", "catalog", "end"]), value: z.unknown(), digest: z.string() });
type Kind = z.output<typeof lineShape>["kind"];

function digestOf(previous: string, kind: Kind, value: unknown): string {
  return createHash("sha256")
    .update(`${previous}\n${kind}\n${canonicalJson(value)}`)
    .digest("hex");
}

export interface Exported {
  readonly route: string;
  readonly rollout: string | null;
  readonly evidence: number;
  readonly gateEvents: number;
  readonly catalog: number;
  /** Of the whole file's content. */
  readonly digest: string;
}

/** Writes a history into a file. A rollout that was asked for ends it: with the last of its events, unless it is the newest. */
export async function writeBundle(path: string, history: History, nowMs: number): Promise<Exported> {
  const events = [...history.events.left()];
  const lastSeq = lastSeqOf(history, events);
  const { route, rollout, from, partition, evidenceFromOffset, evidenceToOffset, isEventHeadGone } = history;
  const writer = new LineWriter(path);
  try {
    writer.write("header", {
      ...{ format: FORMAT, version: FORMAT_VERSION, route, rollout, from, partition, evidenceFromOffset, evidenceToOffset, isEventHeadGone },
      ...{ inputLayout: INPUT_LAYOUT, stateLayout: STATE_LAYOUT, codeVersion: version, exportedAtMs: nowMs },
    } satisfies BundleHeader);
    for (const event of events) if (event.evidenceSeq <= lastSeq) writer.write("gate-event", event);
    const digests = new Set<string>();
    await history.readEvidence((entry, offset) => {
      if (entry.seq > lastSeq) return false;
      writer.write("evidence", { offset, entry });
      for (const digest of digestsOf(entry)) digests.add(digest);
      return true;
    });
    for (const entry of await history.readCatalog(digests)) writer.write("catalog", entry);
    const { gateEvents: told = 0, evidence: consumed = 0, catalog: texts = 0 } = writer.counts;
    writer.write("end", { lines: writer.lines, gateEvents: told, evidence: consumed, catalog: texts });
    return { route, rollout, evidence: consumed, gateEvents: told, catalog: texts, digest: writer.digest };
  } finally {
    writer.close();
  }
}

function lastSeqOf({ rollout }: History, events: readonly GateEvent[]): number {
  if (rollout === null) return Number.POSITIVE_INFINITY;
  const own = events.filter((event) => event.rollout === rollout);
  const last = Math.max(0, ...own.map(({ evidenceSeq }) => evidenceSeq));
  const isNewest = !events.some((event) => event.action === "started" && event.rollout !== rollout && event.evidenceSeq > last);
  return isNewest ? Number.POSITIVE_INFINITY : last;
}

/** Digests of the texts that an input names: the spec, and the rubrics that it asks for. */
function digestsOf({ kind, input }: EvidenceEntry): string[] {
  if (kind !== "spec") return [];
  const { digest, rubrics } = JSON.parse(input) as { digest?: string; rubrics?: readonly { digest: string }[] };
  return [digest ?? "", ...(rubrics ?? []).map((rubric) => rubric.digest)].filter((found) => found !== "");
}

class LineWriter {
  readonly counts: Partial<Record<Kind, number>> & { gateEvents?: number } = {};
  digest = "";
  lines = 0;
  readonly #file: number;
  #waiting = "";

  constructor(path: string) {
    try {
      this.#file = openSync(path, "w");
    } catch (cause) {
      throw new KnownError("REQUEST_INVALID", `cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { fix: "check --out", cause });
    }
  }

  write(kind: Kind, value: unknown): void {
    this.digest = digestOf(this.digest, kind, value);
    this.lines += 1;
    const counted = kind === "gate-event" ? "gateEvents" : kind;
    this.counts[counted] = (this.counts[counted] ?? 0) + 1;
    this.#waiting += `${JSON.stringify({ n: this.lines, kind, value, digest: this.digest })}\n`;
    if (this.#waiting.length >= PIECE_BYTES) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    if (this.#waiting !== "") writeSync(this.#file, gzipSync(this.#waiting));
    this.#waiting = "";
  }
}

interface Line {
  readonly n: number;
  readonly kind: Kind;
  readonly value: unknown;
}

function invalid(path: string, what: string, cause?: unknown): KnownError {
  return new KnownError("BUNDLE_INVALID", `${path}${what}`, { fix: "export it again, or use an untouched copy", cause });
}

/** Lines of a bundle, each checked against the digests before it is given; the end too. */
async function* linesOf(path: string): AsyncGenerator<Line> {
  const file = createReadStream(path);
  const unpacked = createGunzip();
  file.on("error", (error) => unpacked.destroy(error));
  const reader = createInterface({ input: file.pipe(unpacked), crlfDelay: Number.POSITIVE_INFINITY });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  unpacked.on("error", failed.reject);
  const texts = reader[Symbol.asyncIterator]();
  let digest = "";
  let n = 0;
  let isEnded = false;
  try {
    for (;;) {
      const next = await Promise.race([texts.next(), failed.promise]);
      if (next.done === true) break;
      n += 1;
      if (isEnded) throw invalid(path, `:${n}: there is more after the line that ends it`);
      const line = parsed(path, next.value, n);
      digest = digestOf(digest, line.kind, line.value);
      if (line.digest !== digest) throw invalid(path, `:${n}: the line (${line.kind}) was changed, or one before it was taken out: its digest does not fit`);
      isEnded = line.kind === "end";
      yield line;
    }
  } catch (error) {
    if (error instanceof KnownError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw invalid(path, n === 0 ? ` cannot be read: ${why}` : `: damaged after line ${n}: ${why}`, error);
  } finally {
    reader.close();
    file.destroy();
  }
  if (!isEnded) throw invalid(path, n === 0 ? " is empty" : `: cut off after line ${n}`);
}

function parsed(path: string, text: string, n: number): z.output<typeof lineShape> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(path, `:${n}: not JSON`, cause);
  }
  const line = lineShape.safeParse(value);
  if (!line.success) throw invalid(path, `:${n}: not a line of a bundle`);
  if (line.data.n !== n) throw invalid(path, `:${n}: the line says that it is ${line.data.n}: lines were added or taken out`);
  return line.data;
}

/**
 * Opens a bundle as a history. Its lines are checked as they are read; `readEvidence` also checks what comes behind.
 *
 * @throws {KnownError} BUNDLE_INVALID with file, line and what is wrong
 */
export async function openBundle(path: string): Promise<History> {
  const lines = linesOf(path);
  const first = await lines.next();
  const header = first.done === true || first.value.kind !== "header" ? null : headerShape.safeParse(first.value.value);
  if (header === null || !header.success) throw invalid(path, ":1: not the header of a bundle that this version of headgate knows");
  const events = new EventShelf();
  let next = await lines.next();
  for (; next.done !== true && next.value.kind === "gate-event"; next = await lines.next())
    events.put(checked(path, next.value, gateEvents.shape) as GateEvent);
  const texts: CatalogEntry[] = [];
  const { route, rollout, partition, evidenceFromOffset, evidenceToOffset, isEventHeadGone } = header.data;
  return {
    ...{ route, rollout, from: path, partition, events, isEventHeadGone, evidenceFromOffset, evidenceToOffset },
    readEvidence: async (take) => {
      let isWanted = true;
      for (; next.done !== true; next = await lines.next()) {
        const line = next.value;
        if (line.kind === "evidence" && isWanted) {
          const { entry, offset } = checked(path, line, evidenceLine);
          isWanted = take(entry, offset);
        } else if (line.kind === "catalog") texts.push(checked(path, line, catalog.shape) as CatalogEntry);
        else if (line.kind === "end") checked(path, line, endShape);
      }
    },
    readCatalog: async (digests) => texts.filter(({ digest }) => digests.has(digest)),
    close: async () => void (await lines.return(undefined)),
  };
}

function checked<S extends z.ZodType>(path: string, { n, kind, value }: Line, shape: S): z.output<S> {
  const found = shape.safeParse(value);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  throw invalid(path, `:${n}: the ${kind} does not fit its schema at ${issue?.path.join(".") ?? ""} (${issue?.message ?? ""})`);
}
