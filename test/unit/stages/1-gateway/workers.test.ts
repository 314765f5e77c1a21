import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { describe, it } from "node:test";
import { answerJson, ask, completion, fileFor, testUpstream, until } from "./harness.ts";
import { deadlineMs, running } from "./running-workers.ts";

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("a gateway of several processes", () => {
  it("shares its port, starts again who dies, adds up its metrics and finishes its calls when it is stopped", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await running(t, fileFor(upstream));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    for (let i = 0; i < 6; i++) assert.equal((await gateway.chat()).status, 200);
    /** Status of `/metrics`, calls of all, workers that there should be, and those that are not heard of. */
    const metrics = async () => {
      const response = await fetch(`${gateway.healthUrl}/metrics`);
      const text = await response.text();
      const value = (name: RegExp) => Number(new RegExp(`^${name.source} (\\d+)$`, "m").exec(text)?.[1]);
      const calls = value(/headgate_gateway_calls_total\{.*status="ok"\}/);
      return [response.status, calls, value(/headgate_workers/), value(/headgate_workers_unheard/)];
    };
    assert.deepEqual(await metrics(), [200, 6, 2, 0]);
    assert.equal((await fetch(`${gateway.healthUrl}/readyz`)).status, 200);

    const [first = 0] = gateway.listened();
    // What it has counted does not go away while it hangs.
    process.kill(first, "SIGSTOP");
    assert.deepEqual(await metrics(), [200, 6, 2, 1]);
    process.kill(first, "SIGCONT");
    await until("both are heard of", async () => (await metrics())[3] === 0, deadlineMs);
    process.kill(first, "SIGKILL");
    await until("the killed one is missed", async () => (await metrics())[3] === 1, deadlineMs);
    assert.equal((await metrics())[1], 6, "what it had counted has happened");
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    assert.equal((await gateway.chat()).status, 200);
    await until("both are heard of", async () => (await metrics())[3] === 0, deadlineMs);
    assert.deepEqual(await metrics(), [200, 7, 2, 0]);

    let answer: () => void = () => undefined;
    upstream.answer = (_, response) => {
      answer = () => answerJson(response, completion("late"));
    };
    const before = upstream.asked.length;
    const late = gateway.chat();
    await until("the call is under way", () => upstream.asked.length > before, deadlineMs);
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    gateway.process.kill("SIGTERM");
    await until("all workers are stopping", () => gateway.stopping() >= 2, deadlineMs);
    answer();
    assert.equal((await late).status, 200);
    assert.deepEqual(await ended, [0, null]);
  });

  it("holds a caller's rate over all of its processes, also when one of them has died and is back", async (t) => {
    const upstream = await testUpstream(t);
    const keyHash = createHash("sha256").update("sk-caller").digest("hex");
    const gateway = await running(t, fileFor(upstream, upstream, `callers: [{ name: ann, keyHash: ${keyHash}, ratePerMinute: 4 }]\n`));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    const startedAtMs = performance.now();
    const statuses: number[] = [];
    // Each on a connection of its own: they come to both workers.
    const calls = async (count: number) => {
      for (let i = 0; i < count; i++) statuses.push((await gateway.chat({ authorization: "Bearer sk-caller" })).status);
    };
    await calls(20);
    process.kill(gateway.listened()[0] ?? 0, "SIGKILL");
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    await calls(20);
    const refilled = Math.floor((performance.now() - startedAtMs) / 15_000);
    const served = statuses.filter((status) => status === 200).length;
    assert.ok(served >= 4 && served <= 4 + refilled, `${served} calls served`);
    assert.deepEqual(new Set(statuses), new Set([200, 429]));
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });

  it("counts a caller's rate in each process while the first one hangs, and gives back the places of callers that have left", async (t) => {
    const upstream = await testUpstream(t);
    const keyHash = createHash("sha256").update("sk-caller").digest("hex");
    const listed = `callers: [{ name: ann, keyHash: ${keyHash}, ratePerMinute: 1000 }]\nmaxInFlight: 3\n`;
    const gateway = await running(t, fileFor(upstream, upstream, listed));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    // Who hands out new connections will be stopped: these are there already.
    const agents = Array.from({ length: 12 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    t.after(() => agents.map((agent) => agent.destroy()));
    const status = (agent: Agent, leavesAfterMs: number | null = null): Promise<number> =>
      new Promise((resolve) => {
        const headers = { authorization: "Bearer sk-caller", "content-type": "application/json" };
        const sending = request(`${gateway.url}/v1/chat/completions`, { agent, method: "POST", headers }, (response) => {
          response.resume().on("end", () => resolve(response.statusCode ?? 0));
        });
        sending.on("error", () => resolve(0));
        if (leavesAfterMs !== null) setTimeout(() => sending.destroy(), leavesAfterMs);
        sending.end(JSON.stringify(ask("hi")));
      });
    for (const agent of agents) assert.equal(await status(agent), 200);
    gateway.process.kill("SIGSTOP");
    t.after(() => gateway.process.kill("SIGCONT"));
    const [leaving, staying] = [agents.slice(0, 6), agents.slice(6)];
    await Promise.all(leaving.map((agent) => status(agent, 100)));
    // One after another: each process has three places.
    for (const agent of staying) await until("another one is answered", async () => (await status(agent)) === 200, deadlineMs);
    gateway.process.kill("SIGCONT");
    assert.equal((await gateway.chat({ authorization: "Bearer sk-caller" })).status, 200);
    const ended = once(gateway.process, "exit");
    gateway.process.kill("SIGTERM");
    assert.deepEqual(await ended, [0, null]);
  });

  it("goes on with the others when one that starts again finds its file wrong, and is whole again when the file is", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await running(t, fileFor(upstream));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    writeFileSync(gateway.file, "upstreams: {}");
    process.kill(gateway.listened()[0] ?? 0, "SIGKILL");
    await until("it has been started in vain twice", () => gateway.failures() >= 3, deadlineMs);
    assert.equal((await gateway.chat()).status, 200);
    assert.equal((await fetch(`${gateway.healthUrl}/readyz`)).status, 503);
    writeFileSync(gateway.file, fileFor(upstream));
    await until("a new worker listens", () => gateway.listened().length === 3, deadlineMs);
    assert.equal((await fetch(`${gateway.healthUrl}/readyz`)).status, 200);
  });

  it("whose first process is killed finishes its calls, keeps their records, and ends", async (t) => {
    const upstream = await testUpstream(t);
    const gateway = await running(t, fileFor(upstream));
    await until("both workers listen", () => gateway.listened().length === 2, deadlineMs);
    let answer: () => void = () => undefined;
    upstream.answer = (_, response) => {
      answer = () => answerJson(response, completion("late"));
    };
    const late = gateway.chat();
    await until("the call is under way", () => upstream.asked.length === 1, deadlineMs);
    gateway.process.kill("SIGKILL");
    await until("the workers are stopping", () => gateway.stopping() === 2, deadlineMs);
    answer();
    assert.equal((await late).status, 200);
    await until("they have ended", () => gateway.listened().every((pid) => !isAlive(pid)), deadlineMs);
    const spooled = readdirSync(join(gateway.data, "spool"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".frames"));
    assert.equal(spooled.length, 1);
  });

  it("ends with 2 when its configuration is wrong, instead of starting again and again", async (t) => {
    const gateway = await running(t, "upstreams: {}");
    assert.deepEqual(await once(gateway.process, "exit"), [2, null]);
  });

  it("ends with 2 when somebody else has HEADGATE_PORT, says so, and leaves no worker behind", async (t) => {
    const upstream = await testUpstream(t);
    const taken = Number(new URL(upstream.url).port);
    const gateway = await running(t, fileFor(upstream), { healthPort: taken });
    // Its workers write to the same pipe: it closes when the last of them has ended.
    let ended: unknown[] = [];
    gateway.process.once("close", (...how) => (ended = how));
    await until("all processes have ended", () => ended.length > 0, deadlineMs);
    assert.deepEqual(ended, [2, null]);
    assert.match(gateway.output(), new RegExp(`error CONFIG_INVALID: cannot listen on 127.0.0.1:${taken}: .*EADDRINUSE`));
    assert.match(gateway.output(), /set HEADGATE_PORT/);
    assert.deepEqual(gateway.listened(), []);
  });
});
