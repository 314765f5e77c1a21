import type { OutgoingHttpHeaders } from "node:http";
import type { JsonObject } from "../../../domain/routing/merge-parameters.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { askVersion } from "./attempts.ts";
import type { Exchanged, Sink } from "./exchange.ts";
import { HoldingSink } from "./holding-sink.ts";
import type { Leaving } from "./leaving.ts";
import type { Upstream } from "./upstream.ts";
import { upstreamBody } from "./upstream-request.ts";

/** A call that names an upstream and one of its models itself, as `upstream/model`. */
export interface Direct {
  readonly upstream: Upstream;
  readonly model: string;
}

/** What a model that is no route names directly; null when it names no upstream, or one that may not be called past the routes. */
export function directOf(upstreams: ReadonlyMap<string, Upstream>, name: string): Direct | null {
  for (let slash = name.indexOf("/"); slash > 0; slash = name.indexOf("/", slash + 1)) {
    const upstream = upstreams.get(name.slice(0, slash));
    if (upstream?.config.direct === true && slash + 1 < name.length) return { upstream, model: name.slice(slash + 1) };
  }
  return null;
}

/** Passes a direct call on. Nothing but its model is changed, and nothing of it is kept. */
export async function answerDirectly(
  { upstream, model }: Direct,
  call: {
    readonly endpoint: Endpoint;
    readonly text: string;
    readonly request: JsonObject;
    readonly headers: OutgoingHttpHeaders;
    readonly leaving: Leaving;
    readonly sink: Sink;
  },
): Promise<Exchanged> {
  const { endpoint, headers, leaving } = call;
  const unversioned = { name: "", upstream: upstream.config.name, model, parameters: {}, systemTemplate: null };
  const sink = new HoldingSink(call.sink, upstream.config.retries.on.includes("reset"));
  const toUpstream = { endpoint, headers, body: upstreamBody(call, unversioned, false), hidesUsage: false, leaving, sink };
  const exchanged = await askVersion(upstream, toUpstream, { version: "", mayRepeat: () => true, startedAt: performance.now() });
  if (exchanged.failure === null && exchanged.status !== "cancelled") await sink.release();
  return exchanged;
}
