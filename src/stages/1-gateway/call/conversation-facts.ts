/** A version served a conversation. `atMs`: the event clock of the process that served it. */
export type ConversationFact = readonly [conversation: string, atMs: number, version: string];
/** Who may go on with a stored response, and in which conversation. */
export type ResponseFact = readonly [response: string, atMs: number, subject: string, conversation: string];
/**
 * What one process of a gateway tells the others of its conversations. Only what it keeps itself: keyed hashes of subjects, hashes of ids and of first
 * questions, names of routes and versions.
 */
export type Fact = ConversationFact | ResponseFact;

export const isOfResponse = (fact: Fact): fact is ResponseFact => fact.length === 4;

const isText = (value: unknown): boolean => typeof value === "string";

function isFact(value: unknown): value is Fact {
  if (!Array.isArray(value)) return false;
  const [key, atMs, ...texts] = value as unknown[];
  return isText(key) && Number.isFinite(atMs) && (texts.length === 1 || texts.length === 2) && texts.every(isText);
}

/** The facts of a message of another process, which after an upgrade may be one of another release: whatever else it holds is left out. */
export function factsOf(body: unknown): Fact[] {
  const facts: unknown = typeof body === "object" && body !== null && "facts" in body ? body.facts : undefined;
  return Array.isArray(facts) ? facts.filter(isFact) : [];
}

/**
 * Which of two facts about the same is true: above 0, the first; 0: they are the same. The younger one is. Of one moment, the one with the greater texts:
 * which one does not matter, only that all processes choose alike, in whichever order they hear.
 */
export function compareFacts(a: Fact, b: Fact): number {
  if (a[1] !== b[1]) return a[1] - b[1];
  for (const i of [2, 3] as const) {
    const [left, right] = [a[i] ?? "", b[i] ?? ""];
    if (left !== right) return left > right ? 1 : -1;
  }
  return 0;
}
