import { hash } from "node:crypto";
import { hash32 } from "../../../domain/hash/hash32.ts";
import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";

export interface ConversationsOptions {
  /** Conversations, and responses, that are remembered; the ones not used for longest are forgotten first. 0: none. */
  readonly max: number;
  /** A conversation that was silent for longer is over, ms. */
  readonly idleMs: number;
}

interface Remembered {
  readonly subject: string;
  readonly conversation: string;
}

/** Characters of the first question that tell one conversation of a subject from another. */
const QUESTION_CHARS = 1_024;
const SECOND_SEED = 0x9e37_79b9;

/** What is kept of an id that a caller or an upstream has chosen, at any length: 132 bits, so that none can be made to meet another's. */
const keyOf = (id: string): string => hash("sha256", id, "base64url").slice(0, 22);

/** The conversation that a request names: `metadata.conversation_id`, or the Responses API's `conversation`. */
export function namedConversation({ metadata, conversation }: JsonObject): string | undefined {
  const candidates: unknown[] = [
    isJsonObject(metadata) ? metadata.conversation_id : undefined,
    conversation,
    isJsonObject(conversation) ? conversation.id : undefined,
  ];
  return candidates.find((each): each is string => typeof each === "string" && each !== "");
}

export function previousResponse({ previous_response_id: id }: JsonObject): string | undefined {
  return typeof id === "string" && id !== "" ? id : undefined;
}

/** The first question of a history, which every later call of the conversation sends again. */
function firstQuestion({ messages, input }: JsonObject): string {
  const history: readonly unknown[] = Array.isArray(messages) ? messages : Array.isArray(input) ? input : [];
  const first = history.find((message) => isJsonObject(message) && message.role === "user");
  const content = isJsonObject(first) ? first.content : input;
  const parts: readonly unknown[] = Array.isArray(content) ? content : [content];
  const text = parts.map((part) => (isJsonObject(part) ? part.text : part)).find((part) => typeof part === "string");
  return typeof text === "string" ? text.slice(0, QUESTION_CHARS) : "";
}

/** What a call is for its conversation. */
export interface InConversation {
  readonly key: string;
  /** Whether it goes on with one that may have been served before. */
  readonly continues: boolean;
  /** It goes on with a stored answer that this gateway does not know: which version stored it is not known either. */
  readonly isStranger: boolean;
}

/** For so long an entry that is used again keeps its place, ms: putting it last each time costs more than all else that is done for a conversation. */
const KEEPS_PLACE_MS = 60_000;

/** The ones not used for longest are forgotten first, to a minute: a Map keeps the order in which it was filled. */
class Recent<V> {
  readonly #max: number;
  readonly #values = new Map<string, V>();

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size <= this.#max) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }
}

/**
 * Which version each running conversation was served by, and whose response each stored one was: what keeps a conversation on its version when a step up
 * adds its subject to the candidate. In the memory of this gateway, bounded; subjects are hashed before they come here, and texts and ids are kept as hashes.
 */
export class Conversations {
  readonly #options: ConversationsOptions;
  readonly #versions: Recent<{ version: string; atMs: number; readonly placedAtMs: number }>;
  readonly #responses: Recent<Remembered>;

  constructor(options: ConversationsOptions) {
    this.#options = options;
    this.#versions = new Recent(options.max);
    this.#responses = new Recent(options.max);
  }

  /** The subject of the call whose response a request goes on with; undefined when that is not remembered. */
  subjectOf(request: JsonObject): string | undefined {
    return this.#continued(request)?.subject;
  }

  #continued(request: JsonObject): Remembered | undefined {
    const previous = previousResponse(request);
    return previous === undefined ? undefined : this.#responses.get(keyOf(previous));
  }

  /** @param turn answers that the request's own history holds */
  of(call: {
    readonly route: string;
    readonly request: JsonObject;
    readonly subject: string;
    readonly turn: number;
    readonly requestId: string;
  }): InConversation {
    const { route, request, subject, turn, requestId } = call;
    const named = namedConversation(request);
    if (named !== undefined) return { key: `${route}\n${subject}\n${keyOf(named)}`, continues: true, isStranger: false };
    if (previousResponse(request) !== undefined) {
      const known = this.#continued(request);
      return { key: known?.conversation ?? requestId, continues: true, isStranger: known === undefined };
    }
    const question = firstQuestion(request);
    return { key: `${route}\n${subject}\n${hash32(question)}${hash32(question, SECOND_SEED)}`, continues: turn > 0, isStranger: false };
  }

  /** The version that served a conversation last; undefined when it is over, or not remembered. */
  versionOf({ key, continues }: InConversation, nowMs: number): string | undefined {
    const last = continues ? this.#versions.get(key) : undefined;
    return last === undefined || nowMs - last.atMs > this.#options.idleMs ? undefined : last.version;
  }

  /** @param responseId by which later calls can go on with the answer; null: they cannot */
  served(
    { key }: InConversation,
    about: { readonly version: string; readonly subject: string; readonly responseId: string | null; readonly nowMs: number },
  ): void {
    if (this.#options.max === 0) return;
    const { version, subject, responseId, nowMs } = about;
    const known = this.#versions.get(key);
    if (known === undefined || nowMs - known.placedAtMs >= KEEPS_PLACE_MS) this.#versions.set(key, { version, atMs: nowMs, placedAtMs: nowMs });
    else {
      known.version = version;
      known.atMs = nowMs;
    }
    if (responseId !== null) this.#responses.set(keyOf(responseId), { subject, conversation: key });
  }
}

/** The id of a stored response, from the text of an answer of the Responses API. */
export function responseIdOf(body: string | null): string | null {
  if (body === null) return null;
  const atStart = /^\s*\{\s*"id"\s*:\s*"([^"\\]{1,256})"/.exec(body)?.[1];
  if (atStart !== undefined) return atStart;
  try {
    const value: unknown = JSON.parse(body);
    return isJsonObject(value) && typeof value.id === "string" ? value.id : null;
  } catch {
    return null;
  }
}
