import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { verbNames } from "../../../../src/stages/6-control/operations.ts";
import { commands, fleet, gateEvents, rolloutState, rollouts, routing } from "../../../../topics/index.ts";
import { control } from "./control.ts";
import { gateEvent, gateway, route, state, table } from "./records.ts";

describe("commands and brakes", () => {
  it("writes a command to its route's partition, with who asked and why", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state());
    const answer = await call("POST", `/v1/routes/${route}/pause`, { reason: "incident 12", actor: "ann", expectedAttempt: 1, id: "my-key" });
    assert.equal(answer.status, 202, answer.text);
    const [record] = log.appended;
    assert.equal(record?.partition, log.partitionFor(commands, route));
    assert.equal(record?.key, route);
    assert.deepEqual(record?.value, {
      id: "my-key",
      route,
      verb: "pause",
      reason: "incident 12",
      expectedAttempt: 1,
      expectedEpoch: null,
      probe: null,
      actor: "ann",
      atMs: 1_000_500,
    });
  });

  it("takes every verb of people that the topic knows, without a body too", async () => {
    // Results of golden prompts come from the prober alone.
    const known = commands.shape.shape.verb.options.filter((verb) => verb !== "other" && verb !== "probed");
    const over: Readonly<Record<string, "rolled_back" | "done">> = { retry: "rolled_back", undo: "done", capture: "done", clear: "done" };
    assert.deepEqual([...verbNames].sort(), [...known].sort());
    for (const verb of verbNames) {
      const { call, log, written } = await control();
      log.put(rolloutState, route, state({ phase: over[verb] ?? "canary" }));
      assert.equal((await call("POST", `/v1/routes/${route}/${verb}`)).status, 202, verb);
      assert.deepEqual(
        written("commands").map((record) => (record as { verb: string; actor: string }).verb),
        [verb],
      );
    }
  });

  it("says 404 for a route that nothing was declared on, and 409 with the way out for what cannot apply", async () => {
    const { call, log, written } = await control();
    assert.equal((await call("POST", "/v1/routes/nowhere/pause")).status, 404);
    const refused: [Parameters<typeof state>[0], string, RegExp][] = [
      [{ phase: "rolled_back" }, "pause", /retry/],
      [{ phase: "done" }, "rollback", /undo/],
      [{ phase: "canary" }, "retry", /get/],
      [{ phase: "canary" }, "undo", /rollback/],
    ];
    for (const [head, verb, fix] of refused) {
      log.put(rolloutState, route, state(head));
      const answer = await call("POST", `/v1/routes/${route}/${verb}`);
      assert.equal(answer.status, 409, verb);
      assert.match(answer.json.fix, fix);
    }
    assert.deepEqual(written("commands"), []);
  });

  it("approves and withdraws what waits, also when no rollout runs", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state({ phase: "rolled_back" }));
    assert.equal((await call("POST", `/v1/routes/${route}/approve`)).status, 409);
    log.put(rolloutState, route, state({ phase: "rolled_back", waiting: "retry of x by ann waits for an approval" }));
    for (const verb of ["approve", "withdraw"]) assert.equal((await call("POST", `/v1/routes/${route}/${verb}`)).status, 202, verb);
  });

  it("does not refuse by a state that the newest declaration has not reached yet", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state({ phase: "done", atMs: 5 }));
    log.put(rollouts, route, { route, spec: "{}", digest: "d", rubrics: [], actor: "a", atMs: 6 });
    assert.equal((await call("POST", `/v1/routes/${route}/rollback`)).status, 202);
  });

  it("refuses an attempt or epoch that is not the expected one", async () => {
    const { call, log, written } = await control();
    log.put(rolloutState, route, state({ attempt: 2 }));
    log.put(routing, route, table({ epoch: 9 }));
    assert.equal((await call("POST", `/v1/routes/${route}/rollback`, { expectedAttempt: 1 })).json.attempt, 2);
    assert.equal((await call("POST", `/v1/routes/${route}/rollback`, { expectedEpoch: 8 })).json.epoch, 9);
    assert.deepEqual(written("commands"), []);
  });

  it("waits until the decider answered: carried out, or refused with its reason", async () => {
    const { call, log } = await control();
    log.put(rolloutState, route, state());
    log.put(gateEvents, route, gateEvent({ id: "ge-0", actor: "ann", reasons: ["operator"] }));
    let answered = 0;
    log.openTable(commands).onChange((_key, command) => {
      const id = `ge-${++answered}`;
      const told = { id, action: "held", actor: command?.actor ?? "" } as const;
      if (command?.verb === "pause") log.put(gateEvents, route, gateEvent({ ...told, reasons: ["operator"], message: "paused by ann" }));
      if (command?.verb === "promote")
        log.put(gateEvents, route, gateEvent({ ...told, reasons: ["command_refused"], message: "promote was refused: it is frozen" }));
    });
    const paused = await call("POST", `/v1/routes/${route}/pause?wait=30s`, { actor: "ann" });
    assert.deepEqual([paused.json.status, paused.json.message], ["in_effect", "paused by ann"]);
    const refused = await call("POST", `/v1/routes/${route}/promote?wait=30s`, { actor: "ann" });
    assert.deepEqual([refused.status, refused.json.detail], [409, "the decider refused: promote was refused: it is frozen"]);
    const unheard = await call("POST", `/v1/routes/${route}/freeze?wait=1ms`, { actor: "ann" });
    assert.deepEqual([unheard.status, unheard.json.status], [202, "written"]);
  });

  it("brakes the attempt that gateways route by, and tells how many obey", async () => {
    const { call, log, written } = await control();
    assert.equal((await call("POST", `/v1/routes/${route}/brake`)).status, 404);
    log.put(routing, route, table({ attempt: 4 }));
    log.put(fleet, "gw-1", gateway({ routes: [{ route, epoch: 1, braked: true, static: false }] }));
    log.put(fleet, "gw-2", gateway({ instance: "gw-2" }));
    const answer = await call("POST", `/v1/routes/${route}/brake`, { reason: "bad answers", actor: "ann" });
    assert.deepEqual([answer.status, answer.json.gateways], [202, { obeyed: 1, live: 2 }]);
    assert.deepEqual(written("brakes"), [
      { route, rollout: "support-answer-1", attempt: 4, cleared: false, reason: "bad answers", actor: "ann", atMs: 1_000_500 },
    ]);
  });

  it("brakes all routes, also before anything was declared, and clears only that brake", async () => {
    const { call, written } = await control();
    assert.equal((await call("DELETE", "/v1/brake")).status, 409);
    assert.equal((await call("POST", "/v1/brake", { actor: "ann" })).status, 202);
    assert.equal((await call("DELETE", "/v1/brake", { actor: "bob" })).status, 202);
    assert.deepEqual(
      written("brakes").map((record) => [(record as { route: string }).route, (record as { cleared: boolean }).cleared]),
      [
        ["*", false],
        ["*", true],
      ],
    );
  });

  it("takes route names with slashes and colons", async () => {
    const { call, log, written } = await control();
    log.put(rolloutState, "team/chat:v2", state({ route: "team/chat:v2" }));
    assert.equal((await call("POST", `/v1/routes/${encodeURIComponent("team/chat:v2")}/pause`)).status, 202);
    assert.equal((written("commands")[0] as { route: string }).route, "team/chat:v2");
  });
});
