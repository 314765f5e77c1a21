import { setTimeout as pause } from "node:timers/promises";
import { type DestinationStream, type Logger, pino } from "pino";

/** Names under which texts of people and secrets travel; whatever is logged under one of them is never shown. */
const forbidden =
  /^(.*body|messages?List|messages|prompts?|content|contents|completion|choices|input|output|text|answer|reference|rationale|subject|authorization|cookie|set-cookie|headers|config|.*(password|secret|api[_-]?key|apikey)|.*token)$/i;
const longest = 500;
const most = 50;

/**
 * What may be logged: numbers, flags, short texts, and short lists and objects of those, at most three deep. Everything
 * else is cut or left out, so that a careless log call does not publish a prompt or a secret.
 */
export function loggable(value: unknown, depth = 0): unknown {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return value;
  if (typeof value === "string") return value.length > longest ? `${value.slice(0, longest)} [cut, ${value.length} characters]` : value;
  if (value instanceof Error) return loggableError(value);
  if (value instanceof Date || value instanceof URL) return value;
  if (typeof value !== "object" || Buffer.isBuffer(value) || depth >= 3) return `[${typeof value}]`;
  if (Array.isArray(value)) return value.slice(0, most).map((item) => loggable(item, depth + 1));
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries.slice(0, most).map(([name, item]) => [name, typeof item !== "number" && forbidden.test(String(name)) ? "[redacted]" : loggable(item, depth + 1)]),
  );
}

/** An error by what is known to be harmless: clients hang requests, answers and configurations on theirs. */
function loggableError(error: Error, depth = 0): Record<string, unknown> {
  const { code, type } = error as { code?: unknown; type?: unknown };
  return {
    name: error.name,
    message: loggable(error.message),
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(typeof type === "string" ? { type } : {}),
    stack: error.stack?.split("\n").slice(1, 12).join("\n"),
    ...(error.cause instanceof Error && depth < 4 ? { cause: loggableError(error.cause, depth + 1) } : {}),
  };
}

/** Written in the background: whoever reads them may be slow, and no call waits for that. All loggers of a process share it, so that lines keep their order. */
let standardOutput: ReturnType<typeof pino.destination> | null = null;

/** How long a reader may take for what is left, ms. */
const LAST_LINES_MS = 1_000;

/** Resolves when all that was logged has been written, or its reader has taken too long. Nothing may be logged after it. */
export async function endLogs(): Promise<void> {
  const out = standardOutput;
  if (out === null) return;
  const isOver = new AbortController();
  const isWritten = new Promise<void>((resolve) => void out.once("close", resolve));
  out.end();
  await Promise.race([isWritten, pause(LAST_LINES_MS, undefined, { signal: isOver.signal, ref: true })]);
  isOver.abort();
}

/** The logger of a process: JSON lines on standard output, or on the stream given. */
export function processLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => error },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => loggable(fields) as Record<string, unknown>,
    },
  };
  if (destination !== undefined) return pino(options, destination);
  standardOutput ??= pino.destination({ dest: 1, sync: false });
  return pino(options, standardOutput);
}
