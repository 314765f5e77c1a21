import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { columns } from "../../../../src/cli/show/columns.ts";
import { showList } from "../../../../src/cli/show/list.ts";
import { showRoute } from "../../../../src/cli/show/route.ts";
import { showCount, showHarm, showMargin, showStep, showValue } from "../../../../src/cli/show/words.ts";
import { plain, processTerminal } from "../../../../src/cli/terminal.ts";
import { explain } from "../../../../src/domain/replay/explanation.ts";
import { route, spec, World } from "../../../fixtures/rollout-world.ts";
import { brake } from "../../stages/6-control/records.ts";
import { view } from "../route-views.ts";

const at = { nowMs: 1_000_000 + 31 * 60_000, terminal: { isColored: false } };

describe("what the command line shows", () => {
  it("a route as facts and a tree of attempts and signals", () => {
    assert.equal(
      showRoute(view(), at),
      `Name:            support-answer
Status:          ◌ canary
Message:         min_samples: task_completion 212/600 samples, about 14 min
Rollout:         support-answer-1, attempt 4
  Step:          3/6  (1 5 [10] 25 50 100)
  Share:         10 %  (measured 9.8 %)
Versions:        gpt-b@2026-11 (candidate)
                 gpt-a@2026-05 (baseline)
Gateways:        1 of 2 obey epoch 1764000000123; not yet: gw-2 at 1763999999000

NAME                      KIND       STATUS         AGE  BASELINE  CANDIDATE  DELTA (bound)      MARGIN     N          VERDICT
⟳ support-answer          rollout    ◌ canary       31m
├──# attempt:4            attempt
│  ├──α task_completion   guardrail  served         31m  0.912     0.905      +0.007 (≤ +0.031)  0.01/0.05  212/2.1k   ◌ inconclusive
│  ├──α latency_p95       guardrail  served         31m  1.84s     1.79s      -2.7% (≤ +3.1%)    2%/10%     9.8k/88k   ✔ safe
│  ├──α cost_per_request  watch      ✖ harm proven  31m  $0.00410  $0.00520   +27.0% (≥ +19.0%)  4%/20%     9.8k/1.2M  ✖ breach
│  └──α groundedness
│     └──σ context=long   guardrail  served         31m  -         -          -                  0.01/0.05  0/0        ? no_data
└──# attempt:3            attempt    ✖ rolled_back  3h   refusal_rate breach at step 2 (at step 2, ge-0)`,
    );
  });

  it("with the evidence of now, the next event and what it waits for, slices below their signals, and attempts that only the ledger knows", () => {
    const world = new World({ slices: { "context=long": 0.3 } });
    world.apply(spec({ shadow: { share: 0 }, slices: ["context=long"] }));
    world.minutes(2);
    world.command("rollback");
    world.command("retry");
    world.minutes(4);
    const { nowMs } = { nowMs: world.atMs };
    const explanation = explain(world.state, nowMs);
    assert.ok(explanation !== null);
    const text = showRoute(view({ route, rollout: explanation.rollout, attempt: 2, earlier: [], explanation }), { ...at, nowMs });
    assert.match(text, /\nNext: +canary at 50 %, (in|not to be).*; holds ≥ 6 min more, .*task_completion \d+ % of the proof, \d+\/\d+ samples/);
    assert.match(text, /\n│ {2}├──α schema_validity +guardrail +◌ proof \d+ % +now +0\.\d+ .*\n│ {2}│ {2}└──σ context=long +guardrail +served +now/);
    assert.match(text, /\n└──# attempt:1 +attempt +✖ rolled_back +4m +operator, by ann/);
  });

  it("which gateways are braked while the rollout goes on, although they obey: nothing of its share is served there", () => {
    const gateway = { instance: "gw-1", url: "", epoch: 1_764_000_000_123, braked: true, obeys: true };
    const gateways = { epoch: 1_764_000_000_123, obeyed: 1, live: 1, gateways: [gateway] };
    assert.match(showRoute(view({ gateways }), at), /\nGateways: +1 of 1 obey epoch 1764000000123; braked: gw-1\n/);
    assert.match(showRoute(view({ phase: "rolled_back", gateways }), at), /\nGateways: +1 of 1 obey epoch 1764000000123\n/);
  });

  it("where the drift watch stands", () => {
    const said = {
      version: "gpt-a@2026-05",
      standing: "watched",
      sinceMs: at.nowMs - 3 * 3_600_000,
      golden: "passing",
      message: "gpt-a@2026-05 is watched",
    } as const;
    const { state } = view();
    const text = showRoute(view({ state: state === null ? null : { ...state, watch: said } }), at);
    assert.match(text, /\nWatch: +gpt-a@2026-05 is watched, for 3h\n/);
  });

  it("a frozen, a braked, a done and a never declared route", () => {
    const status = (over: Parameters<typeof view>[0]) => /Status: +(.*)/.exec(showRoute(view(over), at))?.[1];
    assert.equal(status({ condition: "frozen" }), "॥ canary, frozen");
    assert.equal(status({ condition: "paused", phase: "shadow" }), "॥ shadow, paused");
    assert.equal(status({ phase: "done", condition: "frozen" }), "✔ done");
    assert.equal(status({ braked: true }), "✖ canary, braked");
    assert.match(showRoute(view({ braked: true, brake: brake({ reason: "bad answers" }) }), at), /Brake: +attempt 4, by ops 31m ago: bad answers/);
    assert.match(showRoute(view({ phase: "none", rollout: "", signals: [], earlier: [] }), at), /• none/);
  });

  it("the ladder with the step that it is on", () => {
    const ladder = [1, 5, 10, 25, 50, 100];
    assert.equal(showStep({ phase: "shadow", step: -1, ladder }), "0/6  (1 5 10 25 50 100)");
    assert.equal(showStep({ phase: "observing", step: 5, ladder }), "6/6  (1 5 10 25 50 [100])");
    assert.equal(showStep({ phase: "done", step: 5, ladder }), "6/6  (1 5 10 25 50 100)");
  });

  it("values in the unit of their signal, harms as points or percent", () => {
    assert.deepEqual(
      [
        showValue("latency_p95", 950.4),
        showValue("ttft_p95", 1_840),
        showValue("cost_per_request", 0.00412),
        showValue("output_tokens", 215.4),
        showValue("calls_per_trace", 2.44),
      ],
      ["950ms", "1.84s", "$0.00412", "215", "2.4"],
    );
    assert.deepEqual([showHarm(0.007, { relative: false }), showHarm(-0.1, { relative: true }), showHarm(null, { relative: true })], ["+0.007", "-10.0%", "-"]);
    assert.deepEqual([showHarm(-0.0001, { relative: false }), showMargin({ tolerated: 0.019245, limit: 0.1, relative: true })], ["0.000", "1.9%/10%"]);
    assert.deepEqual([0, 999, 1_000, 88_040, 1_240_000].map(showCount), ["0", "999", "1k", "88k", "1.2M"]);
  });

  it("a list, one line per route", () => {
    const { gateways, ...rest } = view({ reasons: [] });
    const list = showList([{ ...rest, gateways: { obeyed: gateways.obeyed, live: gateways.live } }], at);
    assert.equal(
      list,
      `NAME            STATUS    STEP  SHARE  CANDIDATE      OBEYED  CHANGED  MESSAGE
support-answer  ◌ canary  3/6   10 %   gpt-b@2026-11  1/2     31m      task_completion 212/600 samples, about 14 min`,
    );
    assert.match(showList([], at), /rollout apply/);
  });

  it("nothing that moves the cursor or colours the screen of who reads it", () => {
    assert.equal(plain("a\u001b[2Jb\nc"), "ab c");
    for (const code of ["\u001b", "\u0007", "\u009b", "\n", "\r", "\u0000"]) assert.ok(!plain(`x${code}[31my`).includes(code));
    assert.ok(!showRoute(view({ message: "\u001b[31mred" }), at).includes("\u001b"));
  });

  it("colour only on a terminal without NO_COLOR, and columns that line up with it", () => {
    const streams = (isTTY: boolean) => ({ stdout: { isTTY }, stderr: {} }) as unknown as Pick<NodeJS.Process, "stdout" | "stderr">;
    assert.equal(processTerminal(streams(false), {}).isColored, false);
    assert.equal(processTerminal(streams(true), { NO_COLOR: "1" }).isColored, false);
    assert.equal(processTerminal(streams(true), { TERM: "dumb" }).isInteractive, false);
    assert.equal(processTerminal(streams(true), {}).isColored, true);
    const [first, second] = columns(
      [
        [{ text: "ok", tone: "good" }, "x"],
        ["longer", "y"],
      ],
      { isColored: true },
    );
    assert.deepEqual([first, second], ["\u001b[32mok\u001b[0m      x", "longer  y"]);
  });
});
