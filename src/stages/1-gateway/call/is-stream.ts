import { isJsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { ToUpstream } from "./exchange.ts";

/** Names of media types have no case. */
const eventStream = /^\s*text\/event-stream\b/i;
const json = /^\s*[\w.-]+\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;
const asked = /"stream"\s*:\s*true/;

/** Whether a body asks for a stream. It is parsed only for answers whose type leaves open what they are, which are few. */
function asksForStream(body: Buffer | string): boolean {
  const text = body.toString();
  if (!asked.test(text)) return false;
  const value: unknown = JSON.parse(text);
  return isJsonObject(value) && value.stream === true;
}

/**
 * Whether an answer is a stream of events: it says so, or it was asked for, did not fail and is not said to be JSON. Some servers and the proxies before them
 * send streams as `text/plain`, or without a type.
 */
export function isStream({ endpoint, body, hidesUsage }: Pick<ToUpstream, "endpoint" | "body" | "hidesUsage">, status: number, contentType: string): boolean {
  if (eventStream.test(contentType)) return true;
  if (status < 200 || status >= 300 || endpoint.joiner === null || json.test(contentType)) return false;
  return hidesUsage || asksForStream(body);
}
