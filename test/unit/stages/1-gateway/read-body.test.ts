import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { readBody } from "../../../../src/stages/1-gateway/http/read-body.ts";
import { until } from "./harness.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

it("a body that came in several pieces is in memory once while its call runs: the pieces go when the whole is made", async (t) => {
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<{ request: IncomingMessage; response: ServerResponse }>();
  const server = createServer((request, response) => arrive({ request, response })).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const caller = send({ port: (server.address() as AddressInfo).port, method: "POST", agent: false });
  caller.flushHeaders();
  const { request, response } = await arrived;
  const pieces: WeakRef<ArrayBufferLike>[] = [];
  request.on("data", ({ buffer }: Buffer) => void pieces.push(new WeakRef(buffer)));
  const reading = readBody(request, 10_000_000);
  for (let sent = 1; sent <= 4; sent++) {
    caller.write(Buffer.alloc(50_000, sent));
    await until("the piece is there", () => pieces.length >= sent);
  }
  caller.end();
  const read = await reading;
  assert.ok(read.kind === "read");
  await until("the pieces are gone", () => {
    collect();
    return pieces.every((piece) => piece.deref() === undefined);
  });
  assert.deepEqual([request.complete, read.bytes.length, read.bytes[0], read.bytes.at(-1)], [true, 200_000, 1, 4], "the request and its whole body are held");
  response.end();
  const [answer] = await once(caller, "response");
  answer.resume();
  await once(answer, "close");
});
