import { hash } from "node:crypto";
import { hash32 } from "../../../domain/hash/hash32.ts";
import { isJsonObject, type JsonObject } from "../../../domain/routing/merge-parameters.ts";
import { Recent } from "../recent.ts";
import { type ConversationFact, compareFacts, type Fact, isOfResponse, type ResponseFact } from "./conversation-facts.ts";
import { firstAnswerIn, firstAnswerOf, textOfContent } from "./first-answer.ts";
import { Newest } from "./newest.ts";

export interface ConversationsOptions {
  /** Conversations, and responses, that are remembered; the ones not used for longest, to a minute (`MOST_RENEWAL_MS`), are forgotten first. 0: none. */
  readonly max: number;
  /** A conversation that was silent for longer is over, ms. */
  readonly idleMs: number;
}

interface Remembered {
  readonly subject: string;
  readonly conversation: string;
  readonly atMs: number;
}

const SECOND_SEED = 0x9e37_79b9;

const MOST_LAST_KEYS = 10_000;

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
  return textOfContent(content) ?? "";
}

const hashOf = (text: string): string => `${hash32(text)}${hash32(text, SECOND_SEED)}`;

/** Begins the key of a conversation that has its first answer in it, beside its first question. */
const BY_ANSWER = "\n";
const keyWithAnswer = (key: string, answer: string): string => `${BY_ANSWER}${key}\n${hashOf(answer)}`;

/** What a call is for its conversation. */
export interface InConversation {
  readonly key: string;
  /** Whether it goes on with one that may have been served before. */
  readonly continues: boolean;
  /** It goes on with a stored answer that this gateway does not know: which version stored it is not known either. */
  readonly isStranger: boolean;
  /** Which stored response it goes on with, as it is kept. */
  readonly response?: string;
}

/**
 * For so long, at most, an entry that is used again keeps its place and is not told to others again, ms; of a short `idleMs` it is this share. Doing it each
 * time costs more than all else that is done for a conversation.
 */
const MOST_RENEWAL_MS = 60_000;
const RENEWALS = 30;

/** What is known of a call that was answered. */
export interface ServedBy {
  readonly version: string;
  readonly subject: string;
  /** By which later calls can go on with the answer; null: they cannot. */
  readonly responseId: string | null;
  readonly nowMs: number;
  /** Its answer. */
  readonly body: string | null;
  /** Whether a conversation of its subject that this version served last would stay there, though the call went to another. */
  readonly staysWith: (last: string) => boolean;
}

interface Running {
  version: string;
  /** When it was served last, as far as is known here. */
  atMs: number;
  /** `atMs` when it was placed last, and told to the other processes: all of them know of this time. */
  readonly renewedAtMs: number;
}

const factOfVersion = (key: string, { atMs, version }: Running): ConversationFact => [key, atMs, version];
const factOfResponse = (key: string, { atMs, subject, conversation }: Remembered): ResponseFact => [key, atMs, subject, conversation];

/**
 * Which version each running conversation was served by, and whose response each stored one was: what keeps a conversation on its version when a step up
 * adds its subject to the candidate. In memory, bounded; subjects are hashed before they come here, and texts and ids are kept as hashes.
 *
 * Several processes that are one gateway tell each other facts: what each remembers anew comes out at `onRemembered`, and goes into the others by `take`.
 * Of two facts about the same all keep the same one (`compareFacts`), so that they agree in the end, whatever the order in which they hear.
 */
export class Conversations {
  readonly #options: ConversationsOptions;
  readonly #renewMs: number;
  readonly #versions: Newest<Running>;
  readonly #responses: Newest<Remembered>;
  /** By subject, of its last question. */
  readonly #lastKeys = new Recent<{ readonly route: string; readonly first: number; readonly second: number; readonly key: string }>(MOST_LAST_KEYS);
  /** Whether some conversations are known by their first answers. */
  #knowsAnswers = false;
  #tell: (fact: Fact) => void = () => undefined;
  /** For so long others may have served a conversation without telling, ms: nobody forgets what runs elsewhere. */
  #untoldMs = 0;

  constructor(options: ConversationsOptions) {
    this.#options = options;
    this.#renewMs = Math.min(MOST_RENEWAL_MS, options.idleMs / RENEWALS);
    this.#versions = new Newest(options.max);
    this.#responses = new Newest(options.max);
  }

  /**
   * Hears what others have to know: a conversation that is new, has another version, or was last told `idleMs` / 30, at most a minute, before it was served
   * again; and each stored response, and that calls go on with it, alike. Called on the way of a call: it may not take time. A conversation is then over at most so much later than `idleMs`.
   */
  onRemembered(listener: (fact: Fact) => void): void {
    this.#tell = listener;
    this.#untoldMs = this.#renewMs;
  }

  /**
   * What is remembered, as facts, read one after the other while it may change: the `newest` conversations and as many responses in turn, the ones used last at
   * the end. What changes meanwhile comes again at the end. What is not read to its end is to be ended (`return`).
   */
  *facts(newest = this.#options.max): Generator<Fact> {
    const [versions, responses] = [this.#versions.walk(newest), this.#responses.walk(newest)];
    try {
      for (let isMore = true; isMore; ) {
        const version = versions.next();
        if (!version.done) yield factOfVersion(...version.value);
        const response = responses.next();
        if (!response.done) yield factOfResponse(...response.value);
        isMore = !(version.done && response.done);
      }
    } finally {
      versions.return(undefined);
      responses.return(undefined);
    }
  }

  /**
   * Remembers what another process does. What is known to be younger stays.
   *
   * @returns those that were not known
   */
  take(facts: readonly Fact[]): Fact[] {
    if (this.#options.max === 0) return [];
    return facts.filter((fact) => (isOfResponse(fact) ? this.#takeResponse(fact) : this.#takeVersion(fact)));
  }

  #takeVersion(fact: ConversationFact): boolean {
    const [key, atMs, version] = fact;
    if (key.startsWith(BY_ANSWER)) this.#knowsAnswers = true;
    const known = this.#versions.get(key);
    const own: Fact = [key, known?.atMs ?? 0, known?.version ?? ""];
    const order = known === undefined ? 1 : compareFacts(fact, own);
    if (order >= 0) {
      // What is the same takes its place again: a memory that is told whole, in its order, is in the end kept in that order.
      this.#versions.set(key, { version, atMs, renewedAtMs: atMs });
      return order > 0;
    }
    // Whoever told it does not know what was not told yet.
    if (known !== undefined && known.version !== version && known.atMs !== known.renewedAtMs) {
      this.#versions.set(key, { ...known, renewedAtMs: known.atMs });
      this.#tell(own);
    }
    return false;
  }

  #takeResponse(fact: ResponseFact): boolean {
    const [key, atMs, subject, conversation] = fact;
    const known = this.#responses.get(key);
    const order = known === undefined ? 1 : compareFacts(fact, factOfResponse(key, known));
    if (order >= 0) this.#responses.set(key, { subject, conversation, atMs });
    return order > 0;
  }

  /** The subject of the call whose response a request goes on with; undefined when that is not remembered. */
  subjectOf(request: JsonObject): string | undefined {
    const previous = previousResponse(request);
    return previous === undefined ? undefined : this.#responses.get(keyOf(previous))?.subject;
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
    const previous = previousResponse(request);
    if (previous !== undefined) {
      const response = keyOf(previous);
      const known = this.#responses.get(response);
      return { key: known?.conversation ?? requestId, continues: true, isStranger: known === undefined, response };
    }
    const key = this.#keyOfQuestion(route, subject, firstQuestion(request));
    return { key: turn > 0 ? this.#keyByAnswer(key, request) : key, continues: turn > 0, isStranger: false };
  }

  /** Of conversations with the same first question, the one with the same first answer, where there are some that are known by it. */
  #keyByAnswer(key: string, request: JsonObject): string {
    const answer = this.#knowsAnswers ? firstAnswerIn(request) : null;
    const byAnswer = answer === null ? null : keyWithAnswer(key, answer);
    return byAnswer !== null && this.#versions.get(byAnswer) !== undefined ? byAnswer : key;
  }

  /** Of a subject that asks the same again it is the same text, which is found at once: a new one would have to be put together and read whole each time. */
  #keyOfQuestion(route: string, subject: string, question: string): string {
    const first = hash32(question);
    const second = hash32(question, SECOND_SEED);
    const last = this.#lastKeys.get(subject);
    if (last !== undefined && last.route === route && last.first === first && last.second === second) return last.key;
    const key = `${route}\n${subject}\n${first}${second}`;
    this.#lastKeys.set(subject, { route, first, second, key });
    return key;
  }

  /** The version that served a conversation last; undefined when it is over, or not remembered. */
  versionOf({ key, continues }: InConversation, nowMs: number): string | undefined {
    return continues ? this.#lastOf(key, nowMs) : undefined;
  }

  #lastOf(key: string, nowMs: number): string | undefined {
    const last = this.#versions.get(key);
    if (last === undefined) return undefined;
    return nowMs - last.atMs > this.#options.idleMs + this.#untoldMs ? undefined : last.version;
  }

  /** Where a call is remembered: by its first answer too, when its first question is that of a running conversation which stays with another version. */
  #keyToServe({ key, continues }: InConversation, { version, responseId, nowMs, body, staysWith }: ServedBy): string {
    if (continues) return key;
    const last = this.#lastOf(key, nowMs);
    if (last === undefined || last === version || !staysWith(last)) return key;
    const answer = firstAnswerOf(body) ?? responseId;
    if (answer === null) return key;
    this.#knowsAnswers = true;
    return keyWithAnswer(key, answer);
  }

  /** Remembers which version goes on with a conversation. One that has just begun does not take the place of another that runs, of the same first question. */
  served(conversation: InConversation, about: ServedBy): void {
    if (this.#options.max === 0) return;
    const { version, subject, responseId, nowMs } = about;
    const { response: continued } = conversation;
    const key = this.#keyToServe(conversation, about);
    const known = this.#versions.get(key);
    if (known !== undefined && known.version === version && !this.#isToRenew(known.renewedAtMs, nowMs)) {
      if (nowMs > known.atMs) known.atMs = nowMs;
    } else {
      const atMs = known === undefined ? nowMs : laterThan(known.atMs, nowMs);
      this.#versions.set(key, { version, atMs, renewedAtMs: atMs });
      this.#tell([key, atMs, version]);
    }
    if (continued !== undefined) this.#renewResponse(continued, nowMs);
    if (responseId === null) return;
    const response = keyOf(responseId);
    const before = this.#responses.get(response);
    const atMs = before === undefined ? nowMs : laterThan(before.atMs, nowMs);
    this.#responses.set(response, { subject, conversation: key, atMs });
    this.#tell([response, atMs, subject, key]);
  }

  /** A time far ahead is one of before the clock was set back: what is used now is then not to wait until the clock is there again. */
  #isToRenew(renewedAtMs: number, nowMs: number): boolean {
    return Math.abs(nowMs - renewedAtMs) >= this.#renewMs;
  }

  #renewResponse(response: string, nowMs: number): void {
    const known = this.#responses.get(response);
    if (known === undefined) return;
    const isToTell = this.#isToRenew(known.atMs, nowMs);
    const renewed = isToTell ? { ...known, atMs: laterThan(known.atMs, nowMs) } : known;
    this.#responses.set(response, renewed);
    if (isToTell) this.#tell(factOfResponse(response, renewed));
  }
}

/** The time of what happens now to something that is known: after what is known of it, whosever clock that was, so that it counts everywhere. */
const laterThan = (knownMs: number, nowMs: number): number => Math.max(nowMs, knownMs + 1);

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
