import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { brakes, routing } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";

/**
 * What a gateway knew of routing and brakes, as it keeps it on disk: it is restored at the next start, before Kafka is reachable.
 *
 * The file is one line of head, `headgate-routing-snapshot VERSION SHA256 BYTES`, and so many bytes of JSON with that hash.
 */
const VERSION = 1;
const MAGIC = "headgate-routing-snapshot";

const snapshot = z.strictObject({
  writtenAtMs: z.int().min(0).describe("epoch ms"),
  freshAtMs: z.int().min(0).describe("last successful fetch of both topics, epoch ms; 0: never"),
  tables: z.array(routing.shape).describe("of each route the table that was obeyed and, when that is another one, the newest received"),
  brakes: z.strictObject({ attempts: z.array(z.string()), all: z.boolean(), clearedAtMs: z.int().min(-1) }),
  unwritten: z.array(brakes.shape).describe("brakes of the admin port that are not in `brakes` yet"),
});
export type Snapshot = z.output<typeof snapshot>;

/** What was found at start. */
export type FoundSnapshot =
  | { readonly kind: "none" }
  | { readonly kind: "restored"; readonly snapshot: Snapshot }
  | { readonly kind: "refused"; readonly problem: string };

export function encodeSnapshot(value: Snapshot): string {
  const body = JSON.stringify(value);
  return `${MAGIC} ${VERSION} ${sha256(body)} ${Buffer.byteLength(body)}\n${body}`;
}

/**
 * Reads what `encodeSnapshot` wrote.
 *
 * @param path only for messages
 * @throws {KnownError} SNAPSHOT_INVALID, saying what is wrong and where; a damaged file is never used in part
 */
export function decodeSnapshot(path: string, text: string): Snapshot {
  const end = text.indexOf("\n");
  const [magic, version, hash, bytes] = text.slice(0, Math.max(end, 0)).split(" ");
  if (magic !== MAGIC) throw invalid(path, `it does not begin with "${MAGIC}": it is another file, or its beginning is lost`);
  if (version !== String(VERSION)) throw invalid(path, `it has version ${version}; this headgate reads version ${VERSION}`);
  const body = text.slice(end + 1);
  const length = Buffer.byteLength(body);
  if (String(length) !== bytes) throw invalid(path, `it has ${length} bytes after its head instead of ${bytes}: it was cut or written over`);
  if (sha256(body) !== hash) throw invalid(path, "its checksum does not fit its content: it was damaged");
  const parsed = snapshot.safeParse(JSON.parse(body));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `its field ${issue?.path.join(".")} is wrong (${issue?.message}): another version of headgate wrote it`);
}

/** Looks for a snapshot. Never throws: a gateway must start without one too. */
export function findSnapshot(path: string): FoundSnapshot {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? { kind: "none" } : { kind: "refused", problem: `${path} cannot be read (${code ?? "unknown"})` };
  }
  try {
    return { kind: "restored", snapshot: decodeSnapshot(path, text) };
  } catch (error) {
    return { kind: "refused", problem: (error as Error).message };
  }
}

/**
 * When the tables of a snapshot were last known to be the newest, epoch ms: their staleness limit goes on counting where it was. A time that lies in the
 * future, because the clock was set back, proves nothing.
 */
export function trustedFreshness({ freshAtMs, writtenAtMs }: Snapshot, nowMs: number): number {
  return Math.max(freshAtMs, writtenAtMs) > nowMs ? 0 : freshAtMs;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

function invalid(path: string, problem: string): KnownError {
  return new KnownError("SNAPSHOT_INVALID", `the routing snapshot ${path} cannot be used: ${problem}`, {
    fix: "nothing needs to be done: the gateway serves its configuration until Kafka answers, and writes a new snapshot then",
  });
}
