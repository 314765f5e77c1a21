import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { unrepaired } from "../../fixtures/unrepaired-kafkajs.ts";

interface Queue {
  readonly throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  maybeThrottle(ms: number): void;
  push(request: { readonly entry: { readonly correlationId: number }; readonly expectResponse: boolean; readonly sendRequest: () => void }): void;
  fulfillRequest(answer: { readonly correlationId: number; readonly payload: Buffer; readonly size: number }): void;
  destroy(): void;
}

type Queues = new (options: object) => Queue;
const used = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as Queues;
const logger = { debug: () => undefined, warn: () => undefined };
const newQueue = (RequestQueue: Queues): Queue => new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1_000, clientId: "idle", broker: "none", logger });

it("a connection that has nothing to send sets no timer, which kafkajs alone does; what waits for a throttle is sent all the same", async (t) => {
  const alone = newQueue(unrepaired("kafkajs/src/network/requestQueue"));
  alone.checkPendingRequests();
  assert.notEqual(alone.throttleCheckTimeoutId, null, "kafkajs itself has been mended: our repair can go");
  alone.destroy();

  const { prepareKafkajs } = await import("../../../src/runtime/codec.ts");
  prepareKafkajs();
  const queue = newQueue(used);
  t.after(() => queue.destroy());
  queue.checkPendingRequests();
  assert.equal(queue.throttleCheckTimeoutId, null);

  const sent: number[] = [];
  const push = (correlationId: number) => {
    const entry = { correlationId, apiName: "Produce", apiKey: 0, apiVersion: 7, resolve: () => undefined, reject: () => undefined };
    queue.push({ entry, expectResponse: true, sendRequest: () => void sent.push(correlationId) });
  };
  queue.maybeThrottle(50);
  push(1);
  push(2);
  assert.deepEqual(sent, []);
  for (let i = 0; i < 1_000 && sent.length === 0; i++) await sleep(10);
  assert.deepEqual(sent, [1], "one at a time");
  queue.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 });
  assert.deepEqual(sent, [1, 2]);
  queue.fulfillRequest({ correlationId: 2, payload: Buffer.alloc(0), size: 0 });
  // A last look may still be due; it sets none.
  for (let i = 0; i < 100 && queue.throttleCheckTimeoutId !== null; i++) await sleep(10);
  assert.equal(queue.throttleCheckTimeoutId, null);
});
