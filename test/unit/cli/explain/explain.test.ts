import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { picture } from "../../../../src/cli/explain/picture.ts";
import { run } from "../../../../src/cli/run.ts";
import { type Explanation, explain } from "../../../../src/domain/replay/explanation.ts";
import { good, route, spec, startMs } from "../../../fixtures/rollout-world.ts";
import { RecordedWorld } from "../../domain/replay/recorded-world.ts";
import { fakeCli } from "../fake-cli.ts";
import { bundleOf, folder } from "../replay/bundled.ts";
import { view } from "../route-views.ts";

const MINUTE = 60_000;

/** Five minutes into the first step, and its whole history until it is rolled back. */
const world = new RecordedWorld({ candidateAt: (atMs) => (atMs < startMs + 20 * MINUTE ? good : { ...good, schemaFail: 0.3 }) });
world.apply(spec({ shadow: { share: 0 } }));
world.minutes(5);
const early = explain(world.state, world.atMs);
world.minutes(55, ({ state }) => state.current?.phase === "rolled_back");

async function headgate(argv: string[], over: Parameters<typeof fakeCli>[0] = {}): Promise<{ code: number; out: string; err: string }> {
  const cli = fakeCli(over);
  const code = await run(argv, cli);
  return { code, out: cli.lines.out.join("\n"), err: cli.lines.err.join("\n") };
}

describe("headgate explain", () => {
  it("draws a harm against none, what is tolerated and the limit, in any width", () => {
    const harm = { low: -0.01, centre: 0.01, high: 0.03, tolerated: 0.02, limit: 0.05 };
    for (const width of [12, 16, 31, 60]) assert.equal([...picture(harm, width)].length, width);
    assert.match(picture(harm, 40), /^·*├─*0─*●─*T─*┤·*L·*$/);
    assert.match(picture({ ...harm, low: -9, high: 9 }, 40), /^‹─*0─*●─*T─*L─*›$/);
    assert.match(picture({ ...harm, low: null, high: null }, 40), /^·*0·*●·*T·*L·*$/);
    assert.match(picture({ ...harm, low: null, high: null, centre: 7 }, 40), /›$/);
  });

  it("says what the next step waits for and when that is expected", () => {
    assert.ok(early?.next);
    assert.deepEqual([early.phase, early.step, early.next.phase, early.next.sharePct], ["canary", 0, "canary", 50]);
    const dwell = early.next.waitsFor.find(({ what }) => what === "dwell");
    assert.deepEqual(dwell?.expected, { inMs: 5 * MINUTE, basis: "clock" });
    const proofs = early.signals.filter(({ slice, proof }) => slice === "all" && proof !== null);
    assert.ok(proofs.length >= 4 && proofs.every(({ proof }) => proof !== null && proof >= 0 && proof <= 1));
    const waiting = proofs.filter(({ proof }) => proof !== null && proof < 1);
    assert.ok(waiting.length > 0 && waiting.every(({ expected }) => expected !== null));
    const task = early.signals.find(({ signal }) => signal === "task_completion");
    assert.ok(task?.low != null && task.high != null && task.low < task.high, "an interval to draw");
    assert.equal(early.now.kind, "hold");
  });

  it("shows the present from control, by route or by rollout, and in JSON", async () => {
    const answer = (_method: string, path: string) => {
      if (path === `/v1/routes/${route}`) return { status: 200, body: view({ explanation: early }) };
      if (path === "/v1/rollouts") return { status: 200, body: { rollouts: [{ route, rollout: "support-answer-1" }] } };
      return { status: 404, body: { code: "NOT_FOUND", detail: "no such route", fix: "" } };
    };
    const shown = await headgate(["explain", route], { answer, env: { COLUMNS: "130" } });
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /Why: +min_dwell/);
    assert.match(shown.out, /Next: +canary at 50 %, in/);
    assert.match(shown.out, /◷ {2}dwell +stays at least so long +in 5 min/);
    assert.match(shown.out, /task_completion +[·├]/);
    assert.match(shown.out, /█+░* \d+ %/);
    assert.equal((await headgate(["explain", "support-answer-1", "--no-color"], { answer, env: { COLUMNS: "130" } })).out, shown.out);
    assert.deepEqual(JSON.parse((await headgate(["explain", route, "--json"], { answer })).out), JSON.parse(JSON.stringify(early)));
    assert.equal((await headgate(["explain", "nothing"], { answer })).code, 5);
    const none = await headgate(["explain", route], { answer: () => ({ status: 200, body: view({ explanation: null, message: "no rollout is declared" }) }) });
    assert.match(none.out, /support-answer: no rollout is declared/);
  });

  it("explains a moment of the past by replaying up to it: the same as was known then", async (t) => {
    const path = await bundleOf(join(folder(t), "b.gz"), world);
    const at = async (moment: string) => JSON.parse((await headgate(["explain", route, "--at", moment, "--bundle", path, "--json"])).out) as Explanation | null;
    assert.deepEqual(await at(new Date(startMs + 5 * MINUTE).toISOString()), JSON.parse(JSON.stringify(early)));
    assert.equal(await at(new Date(startMs - MINUTE).toISOString()), null);
    const last = world.events.at(-1);
    const over = await at(last?.id ?? "");
    assert.ok(over !== null);
    assert.deepEqual(over.now.reasons, last?.reasons);
    assert.deepEqual(
      over.signals.map(({ signal, logEFreeze, verdict }) => [signal, logEFreeze, verdict]),
      last?.signals.map(({ signal, logEFreeze, verdict }) => [signal, logEFreeze, verdict]),
    );
    const text = await headgate(["explain", route, "--at", last?.id ?? "", "--bundle", path]);
    assert.match(text.out, /schema_validity .*✖ breach/);
    assert.equal((await headgate(["explain", route, "--at", "0".repeat(32), "--bundle", path])).code, 5);
    assert.equal((await headgate(["explain", route, "--at", "yesterday", "--bundle", path])).code, 2);
    assert.equal((await headgate(["explain", route, "--bundle", path])).code, 2);
  });
});
