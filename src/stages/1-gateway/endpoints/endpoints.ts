import { chat } from "./chat.ts";
import { completions } from "./completions.ts";
import { embeddings } from "./embeddings.ts";
import type { Endpoint } from "./endpoint.ts";
import { responses } from "./responses.ts";

/** Endpoints of the API that are proxied, by the path that callers ask for. */
export const endpoints: ReadonlyMap<string, Endpoint> = new Map([chat, responses, completions, embeddings].map((each) => [each.endpoint, each]));
