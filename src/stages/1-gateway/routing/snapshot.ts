import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { brakes, routing } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";

/**
 * What a gateway knew of routing and brakes, as it keeps it on disk: it is restored at the next start, before Kafka is reachable.
 *
 * The file is one line of head, `headgate-routing-snapshot VERSION SHA256 BYTES PREFIX`, and so many bytes of JSON; the hash is of the prefix and of them.
 * Brakes name routes, rollouts and attempts, which another installation has too: a file that another prefix wrote, or an older version, which did not say
 * whose it was, is never used.
 */
const VERSION = 2;
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
  | { readonly kind: "refused"; readonly problem: string }
  /** Whole, and of another installation, which may need it yet. */
  | { readonly kind: "foreign"; readonly problem: string };

/** @param prefix HEADGATE_PREFIX of the installation whose routing this is */
export function encodeSnapshot(value: Snapshot, prefix: string): string {
  const body = JSON.stringify(value);
  return `${MAGIC} ${VERSION} ${hashOf(prefix, body)} ${Buffer.byteLength(body)} ${prefix}\n${body}`;
}

/** Thrown for a snapshot of another prefix. */
class ForeignSnapshot extends KnownError {}

/**
 * Reads what `encodeSnapshot` wrote.
 *
 * @param path only for messages
 * @param prefix of this installation
 * @throws {KnownError} SNAPSHOT_INVALID, saying what is wrong and where; a damaged file is never used in part, one of another prefix not at all
 */
export function decodeSnapshot(path: string, text: string, prefix: string): Snapshot {
  const end = text.indexOf("\n");
  const [magic, version, hash, bytes, writer] = text.slice(0, Math.max(end, 0)).split(" ");
  if (magic !== MAGIC) throw invalid(path, `it does not begin with "${MAGIC}": it is another file, or its beginning is lost`);
  if (version !== String(VERSION)) throw invalid(path, `it has version ${version}; this headgate reads version ${VERSION}`);
  const body = text.slice(end + 1);
  const length = Buffer.byteLength(body);
  if (String(length) !== bytes) throw invalid(path, `it has ${length} bytes after its head instead of ${bytes}: it was cut or written over`);
  if (hashOf(writer ?? "", body) !== hash) throw invalid(path, "its checksum does not fit its content: it was damaged");
  if (writer !== prefix) throw foreign(path, writer ?? "", prefix);
  const parsed = snapshot.safeParse(JSON.parse(body));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(path, `its field ${issue?.path.join(".")} is wrong (${issue?.message}): another version of headgate wrote it`);
}

/** Looks for a snapshot. Never throws: a gateway must start without one too. */
export function findSnapshot(path: string, prefix: string): FoundSnapshot {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? { kind: "none" } : { kind: "refused", problem: `${path} cannot be read (${code ?? "unknown"})` };
  }
  try {
    return { kind: "restored", snapshot: decodeSnapshot(path, text, prefix) };
  } catch (error) {
    return { kind: error instanceof ForeignSnapshot ? "foreign" : "refused", problem: (error as Error).message };
  }
}

/**
 * When the tables of a snapshot were last known to be the newest, epoch ms: their staleness limit goes on counting where it was. A time that lies in the
 * future, because the clock was set back, proves nothing.
 */
export function trustedFreshness({ freshAtMs, writtenAtMs }: Snapshot, nowMs: number): number {
  return Math.max(freshAtMs, writtenAtMs) > nowMs ? 0 : freshAtMs;
}

const hashOf = (prefix: string, body: string): string => createHash("sha256").update(`${prefix}\n${body}`).digest("hex");

function foreign(path: string, writer: string, prefix: string): KnownError {
  const problem = `it is of the installation with the prefix "${writer}", and this gateway has "${prefix}"`;
  return new ForeignSnapshot("SNAPSHOT_INVALID", `the routing snapshot ${path} is not used: ${problem}`, {
    fix: "give each installation a data directory of its own (HEADGATE_GATEWAY_DATA), or correct HEADGATE_PREFIX; the file is left as it is",
  });
}

function invalid(path: string, problem: string): KnownError {
  return new KnownError("SNAPSHOT_INVALID", `the routing snapshot ${path} cannot be used: ${problem}`, {
    fix: "nothing needs to be done: the gateway serves its configuration until Kafka answers, and writes a new snapshot then",
  });
}
