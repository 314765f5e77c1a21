import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseDuration, showAge } from "../../../src/cli/duration.ts";
import { serverEvents } from "../../../src/cli/server-events.ts";

const wire = ': headgate\nretry: 1000\n\nid: f-1\nevent: routing\ndata: {"é":1}\n\n: heartbeat\n\nid: f-2\r\nevent: reset\r\ndata: a\r\ndata: b\r\n\r\n';

describe("reading from control", () => {
  it("reads events from a stream that is cut anywhere, also within a letter", async () => {
    const bytes = new TextEncoder().encode(wire);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 8 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, i) => bytes.slice(at[i], end));
        const events = [];
        for await (const event of serverEvents(ReadableStream.from(pieces) as ReadableStream<Uint8Array>)) events.push(event);
        assert.deepEqual(events, [
          { id: "f-1", event: "routing", data: '{"é":1}' },
          { id: "f-2", event: "reset", data: "a\nb" },
        ]);
      }),
      { numRuns: 50 },
    );
  });

  it("reads durations and shows ages in one unit", () => {
    assert.deepEqual(
      ["500ms", "30s", "1.5m", "2h", "3d"].map((text) => parseDuration(text, "--timeout")),
      [500, 30_000, 90_000, 7_200_000, 259_200_000],
    );
    for (const wrong of ["", "30", "s", "-1s", "1 s"]) assert.throws(() => parseDuration(wrong, "--timeout"), { code: "REQUEST_INVALID" });
    assert.deepEqual([-5, 45_000, 31 * 60_000, 7_200_000, 40 * 3_600_000, 3 * 86_400_000].map(showAge), ["0s", "45s", "31m", "2h", "40h", "3d"]);
  });
});
