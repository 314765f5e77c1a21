import type { ServerResponse } from "node:http";
import type { EventFeed, FeedEvent } from "./event-feed.ts";

/** A subscriber that has so much unsent is cut off; it comes back with its Last-Event-ID and gets the rest from memory. */
const mostUnsentBytes = 4 * 1024 * 1024;

/**
 * Serves one subscriber of server-sent events until it goes away: what it missed, then each change as it comes, and a
 * comment as heartbeat, so that proxies keep the connection and a dead peer is noticed.
 */
export function serveEvents(
  response: ServerResponse,
  feed: EventFeed,
  options: { readonly route: string | undefined; readonly lastEventId: string | undefined; readonly heartbeatMs: number },
): void {
  const { route, lastEventId, heartbeatMs } = options;
  const concerns = (event: FeedEvent) => route === undefined || event.route === route || event.route === "*";
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  const send = (text: string) => {
    response.write(text);
    if (response.writableLength > mostUnsentBytes) response.destroy();
  };
  send(": headgate\nretry: 1000\n\n");
  for (const event of feed.since(lastEventId)) if (concerns(event)) send(event.frame);
  const unsubscribe = feed.subscribe((event) => concerns(event) && send(event.frame));
  const heartbeat = setInterval(() => send(": heartbeat\n\n"), heartbeatMs);
  response.on("close", () => {
    clearInterval(heartbeat);
    unsubscribe();
  });
}
