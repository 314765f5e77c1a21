import { SendUnsureError } from "./sent-once.ts";

/** kafkajs wraps errors several deep and mixes names, types and codes; these read them without guessing. */

interface KafkaError extends Error {
  readonly type?: string;
  readonly code?: string | number;
  readonly retriable?: boolean;
}

/** A question to Kafka that had no answer in time. */
export class UnansweredError extends Error {
  override readonly name = "UnansweredError";
}

/** There is no token to log in to Kafka with. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  /** Whether the endpoint has refused the client's credentials; otherwise it may answer later. */
  readonly isRefused: boolean;

  constructor(message: string, { isRefused = false, cause }: { readonly isRefused?: boolean; readonly cause?: Error } = {}) {
    super(message, { cause });
    this.isRefused = isRefused;
  }
}

/** The error and its causes, outermost first; safe against cycles. */
export function causesOf(error: unknown): KafkaError[] {
  const seen: KafkaError[] = [];
  for (let e: unknown = error; e instanceof Error && !seen.includes(e) && seen.length < 10; e = e.cause) seen.push(e);
  return seen;
}

/** True when the broker answered with this protocol error, at any depth. */
export function isType(error: unknown, ...types: readonly string[]): boolean {
  return causesOf(error).some((e) => e.type !== undefined && types.includes(e.type));
}

/**
 * True when a newer producer with the same transactional id exists, or the broker ended our transaction by its timeout
 * (it uses the same error for both). Code 90 (PRODUCER_FENCED) is younger than kafkajs and reaches us as an unknown code.
 */
export function isFenced(error: unknown): boolean {
  return isType(error, "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED") || causesOf(error).some((e) => /unknown error code 90\b|PRODUCER_FENCED/i.test(e.message));
}

/** What kafkajs says by a plain error while a broker is away: that its connection has not been made, or was given up. */
const PLAIN_OUTAGE = /^Broker not connected$/;

/** True when the error came from kafkajs or the network: an outage to wait out, not a bug of ours. */
export function isKafka(error: unknown): boolean {
  return causesOf(error).some(
    (e) =>
      e.name.startsWith("KafkaJS") ||
      e instanceof SendUnsureError ||
      e instanceof UnansweredError ||
      e instanceof TokenError ||
      PLAIN_OUTAGE.test(e.message) ||
      (typeof e.code === "string" && /^E[A-Z]+$/.test(e.code)),
  );
}

/**
 * True when a broker has answered and would answer the same again: the connection is sound. What a broker calls passing may come from what the client has learned
 * before, as who leads; a topic that is not there is passing for Kafka, since it may be made.
 */
export function isLastWord(error: unknown): boolean {
  return causesOf(error).some(({ type, retriable }) => type !== undefined && (retriable === false || type === "UNKNOWN_TOPIC_OR_PARTITION"));
}

/** True when a leader moved under a send, so that it is not known which records are in the log: they may be sent again, by another producer. */
export function isUnsure(error: unknown): boolean {
  return causesOf(error).some((e) => e instanceof SendUnsureError);
}

/** True when waiting will not help: wrong credentials, or no permission. */
export function isRefused(error: unknown): boolean {
  return causesOf(error).some(
    (e) => e.name === "KafkaJSSASLAuthenticationError" || (e instanceof TokenError && e.isRefused) || /AUTHORIZATION_FAILED$/.test(e.type ?? ""),
  );
}

/** One line for a log: the innermost message with its type, without the stack. */
export function reasonOf(error: unknown): string {
  const causes = causesOf(error);
  const innermost = causes.at(-1);
  if (innermost === undefined) return String(error);
  const kind = innermost.type ?? innermost.name;
  return `${kind}: ${innermost.message}`;
}
