import type { Request } from "../../../../topics/index.ts";
import type { JsonObject, MergeRules } from "../../../domain/routing/merge-parameters.ts";

/** Joins the events of a stream to the answer that the same call would have got without a stream. */
export interface Joiner {
  /** Takes the data of one event, parsed. */
  push(event: JsonObject): void;
  /** The stream said `[DONE]`. */
  done(): void;
  /** From now on no text is kept any more: `isCut` tells. */
  stopKeeping(): void;
  /** Characters that are kept, about. */
  readonly keptChars: number;
  /** Whether any content has arrived: text, a refusal, reasoning or a tool call. */
  readonly hasContent: boolean;
  /** Whether text was left out because the answer is too long. */
  readonly isCut: boolean;
  /** Whether the stream said that it was complete. */
  readonly isComplete: boolean;
  /** The first error that the upstream sent within the stream. */
  readonly error: JsonObject | null;
  /** The answer as far as it was joined; null when nothing of one arrived. */
  answer(): JsonObject | null;
}

/** Everything that differs between the endpoints of the API that are proxied; whatever handles a call is told by this alone. */
export interface Endpoint extends MergeRules {
  /** As callers ask for it, for example `/v1/chat/completions`. */
  readonly endpoint: string;
  /** What is appended to an upstream's base address. */
  readonly path: string;
  /** `gen_ai.operation.name` of its calls. */
  readonly operation: Request["operation"];
  /** Makes what joins its streams; null: it has none. @param maxChars how much text is kept */
  readonly joiner: ((maxChars: number) => Joiner) | null;
  /** Whether `stream_options.include_usage` asks for the usage of a stream in a chunk of its own. */
  readonly usageOnDemand: boolean;
  /** Whether a successful answer is text that is worth logging; otherwise only its usage is. */
  readonly answersInText: boolean;
  /** The form in which the caller wants the answer, as it wrote it; undefined or null: none. */
  formatOf(request: JsonObject): unknown;
  /** Position of a call in its conversation, from 0: how many answers of the model its request already holds. */
  turnOf(request: JsonObject): number;
  /** The field by which a request reads or changes what an upstream has stored, so that no other upstream can be asked the same; null: none. */
  statefulBy(request: JsonObject): string | null;
  /** The field that asks for something that cannot be had through a gateway; null: none. */
  unsupportedIn(request: JsonObject): string | null;
}

const nothing = () => null;
/** What most endpoints have in common. */
export const plainEndpoint = {
  answersInText: true,
  usageOnDemand: false,
  formatOf: nothing,
  turnOf: () => 0,
  statefulBy: nothing,
  unsupportedIn: nothing,
} as const;
