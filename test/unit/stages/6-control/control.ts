import { type Logger, pino } from "pino";
import type { Outgoing } from "../../../../src/runtime/port.ts";
import { EventFeed } from "../../../../src/stages/6-control/event-feed.ts";
import { server } from "../../../../src/stages/6-control/server.ts";
import { openViews } from "../../../../src/stages/6-control/views.ts";
import { openWriteLog } from "../../../../src/stages/6-control/write-log.ts";
import { WriteQueue } from "../../../../src/stages/6-control/write-queue.ts";
import { FakeLog } from "./fake-log.ts";

/** Host header of a caller on this machine. */
export const local = { host: "127.0.0.1:7070" };

/** The API over a log in memory, with a clock that stands still. */
export async function control(options: { readonly tokens?: readonly string[]; readonly nowMs?: number } = {}) {
  const log = new FakeLog();
  const views = openViews(log, (error) => {
    throw error;
  });
  const feed = new EventFeed("feed");
  views.onChange((change) => feed.publish(change));
  const logger: Logger = pino({ level: "silent" });
  let ids = 0;
  const app = server({
    views,
    write: openWriteLog(log),
    queue: new WriteQueue(),
    feed,
    tokens: options.tokens ?? [],
    metrics: { contentType: "text/plain", metrics: async () => "up 1\n" },
    version: "0.0.0",
    log: logger,
    heartbeatMs: 60_000,
    now: () => options.nowMs ?? 1_000_500,
    newId: () => `id-${++ids}`,
  });
  await views.ready;
  const written = (topic: string): Outgoing["value"][] => log.appended.filter((record) => record.topic.name === topic).map((record) => record.value);
  const call = async (method: "GET" | "POST" | "DELETE", url: string, body?: unknown, headers: Record<string, string> = {}) => {
    const answer = await app.inject({ method, url, headers: { ...local, ...headers }, ...(body === undefined ? {} : { payload: body as object }) });
    return {
      status: answer.statusCode,
      headers: answer.headers,
      json: answer.headers["content-type"]?.includes("json") === true ? answer.json() : undefined,
      text: answer.body,
    };
  };
  return { app, log, views, feed, call, written };
}
