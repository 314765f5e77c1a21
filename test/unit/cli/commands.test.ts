import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { Command } from "commander";
import { parse } from "yaml";
import { headgate } from "../../../src/cli/program.ts";
import { run } from "../../../src/cli/run.ts";
import { rubricText, spec } from "../stages/6-control/records.ts";
import { type FakeAnswer, fakeCli } from "./fake-cli.ts";
import { view } from "./route-views.ts";

const specText = JSON.stringify(spec);
const files = { "spec.yaml": specText, "task.yaml": rubricText, token: "# ci\nabcdefghijklmnop\n" };
const ok = (body: unknown): FakeAnswer => ({ status: 200, body });
const problem = (status: number, code: string): FakeAnswer => ({
  status,
  body: { code, detail: "what is wrong", fix: "do this", errors: [{ path: "dwell.min", message: "is odd" }] },
});
const applied = { route: spec.route, digest: "d", status: "taken_up", attempt: 1, phase: "shadow", message: "min_dwell", warnings: ["careful"] };

describe("the command line", () => {
  it("applies a spec with its rubrics and settings, in the name of who asks", async () => {
    const cli = fakeCli({ files, env: { USER: "ann" }, answer: () => ({ status: 202, body: applied }) });
    assert.equal(
      await run(
        ["rollout", "apply", "-f", "spec.yaml", "--rubric", "task.yaml", "--set", "dwell.min=10s", "--set", "minSamples=50", "--expected-attempt", "0"],
        cli,
      ),
      0,
    );
    assert.deepEqual(cli.requests[0], {
      method: "POST",
      url: "http://127.0.0.1:7070/v1/rollouts?wait=5s",
      body: { spec: { ...spec, dwell: { min: "10s" }, minSamples: 50 }, rubrics: [{ name: "task@1", text: rubricText }], expectedAttempt: 0, actor: "ann" },
      authorization: undefined,
    });
    assert.deepEqual(cli.lines, { out: ["support-answer  attempt 1, shadow: min_dwell"], err: ["warning: careful"] });
  });

  it("sends nothing when the spec is wrong, and says what is", async () => {
    const cli = fakeCli({ files });
    assert.equal(await run(["rollout", "apply", "-f", "spec.yaml", "--set", "laddr=[1]"], cli), 2);
    assert.match(cli.lines.err.join("\n"), /error SPEC_INVALID.*\n {2}laddr: is not a field; did you mean ladder\?/);
    assert.deepEqual(cli.requests, []);
    assert.equal(await run(["rollout", "apply", "-f", "absent.yaml"], cli), 2);
  });

  it("waits for the end of a rollout and tells it by the exit code", async () => {
    const ends: [Parameters<typeof view>[0], number][] = [
      [{ phase: "done" }, 0],
      [{ phase: "rolled_back" }, 1],
      [{ condition: "frozen" }, 4],
      [{ condition: "paused" }, 4],
      [{ reasons: ["awaiting_approval"] }, 4],
    ];
    for (const [end, code] of ends) {
      const cli = fakeCli({ files, answer: (method, _path, nth) => (method === "POST" ? { status: 202, body: applied } : ok(nth < 3 ? view() : view(end))) });
      assert.equal(await run(["rollout", "apply", "-f", "spec.yaml", "--wait"], cli), code);
      assert.equal(cli.lines.out.length, 2, "one line per change");
    }
    const cli = fakeCli({ files, answer: (method) => (method === "POST" ? { status: 202, body: applied } : ok(view())) });
    assert.equal(await run(["rollout", "apply", "-f", "spec.yaml", "--wait", "--timeout", "10ms"], cli), 3);
  });

  it("lints offline: schema, sense, and what could not be checked", async () => {
    const cli = fakeCli({ files });
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "--rubric", "task.yaml"], cli), 0);
    assert.deepEqual(cli.lines.out, ["spec.yaml: ok"]);
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "--set", "ladder=[5, 1]"], cli), 2);
    assert.match(cli.lines.out.at(-1) ?? "", /spec\.yaml: ladder\[1\]: .*increase/);
    assert.match(cli.lines.err.at(-1) ?? "", /rubric task@1 was not given/);
    assert.equal(await run(["rollout", "lint", "-f", "spec.yaml", "-o", "json", "--set", "alpha=2"], cli), 2);
    assert.equal(JSON.parse(cli.lines.out.at(-1) ?? "").problems[0].path, "alpha");
    assert.deepEqual(cli.requests, []);
  });

  it("shows, lists, and gives machines JSON", async () => {
    const cli = fakeCli({ answer: (_method, path) => ok(path === "/v1/rollouts" ? { rollouts: [view()] } : view()) });
    assert.equal(await run(["rollout", "get", "support-answer"], cli), 0);
    assert.match(cli.lines.out[0] ?? "", /^Name: +support-answer\n/);
    assert.equal(await run(["rollout", "get", "team/chat", "-o", "json"], cli), 0);
    assert.equal(JSON.parse(cli.lines.out[1] ?? "").attempt, 4);
    assert.equal(cli.requests.at(-1)?.url, "http://127.0.0.1:7070/v1/routes/team%2Fchat");
    assert.equal(await run(["rollout", "list"], cli), 0);
    assert.equal(await run(["rollout", "status", "support-answer"], cli), 3);
    assert.match(cli.lines.out.at(-1) ?? "", /^support-answer {2}◌ canary {2}step 3\/6 {2}10 %/);
  });

  it("watches until the end: redrawn for a person, a line per change for a file, JSON lines for a machine", async () => {
    const answer = (_method: string, _path: string, nth: number) => ok(nth < 3 ? view() : view({ phase: "done" }));
    const person = fakeCli({ answer, isInteractive: true });
    assert.equal(await run(["rollout", "get", "support-answer", "-w"], person), 0);
    assert.ok(person.lines.out.every((text) => text.startsWith("REDRAWN\nName:")));
    const file = fakeCli({ answer });
    assert.equal(await run(["rollout", "get", "support-answer", "-w"], file), 0);
    assert.deepEqual(
      file.lines.out.map((line) => line.split("  ")[1]),
      ["◌ canary", "✔ done"],
    );
    const machine = fakeCli({ answer, isInteractive: true });
    assert.equal(await run(["rollout", "get", "support-answer", "-w", "-o", "json"], machine), 0);
    assert.deepEqual(
      machine.lines.out.map((line) => JSON.parse(line).phase),
      ["canary", "done"],
    );
  });

  it("sends each verb, and says when the decider has not acted", async () => {
    const commanded = { id: "x", route: spec.route, status: "in_effect", attempt: 4, phase: "canary", condition: "paused", message: "operator" };
    const cli = fakeCli({ env: { HEADGATE_ACTOR: "ci", HEADGATE_CONTROL_URL: "http://control:1" }, answer: () => ({ status: 202, body: commanded }) });
    for (const verb of ["pause", "resume", "promote", "approve", "retry", "undo", "freeze", "thaw"]) {
      assert.equal(await run(["rollout", verb, "support-answer", "--reason", "incident"], cli), 0);
      assert.deepEqual(cli.requests.at(-1)?.url, `http://control:1/v1/routes/support-answer/${verb}?wait=5000ms`);
      assert.deepEqual(cli.requests.at(-1)?.body, { reason: "incident", actor: "ci" });
    }
    const unheard = fakeCli({ answer: () => ({ status: 202, body: { ...commanded, status: "written" } }) });
    assert.equal(await run(["rollout", "pause", "support-answer"], unheard), 3);
    assert.match(unheard.lines.out[0] ?? "", /has not acted/);
  });

  it("rolls back and waits until all gateways obey, and names the brake when they do not", async () => {
    const half = view({ phase: "rolled_back" });
    const all = view({ phase: "rolled_back", gateways: { ...half.gateways, obeyed: 2 } });
    const commanded = { status: "written", attempt: 4 };
    const cli = fakeCli({
      answer: (method, _path, nth) => (method === "POST" ? { status: 202, body: commanded } : ok(nth === 2 ? view() : nth === 3 ? half : all)),
    });
    assert.equal(await run(["rollout", "abort", "support-answer"], cli), 0);
    assert.match(cli.requests[0]?.url ?? "", /\/rollback\?wait=5000ms$/);
    assert.deepEqual(cli.lines.out, ["support-answer  rolled back: 2 of 2 gateways obey epoch 1764000000123"]);
    const stuck = fakeCli({ answer: (method) => (method === "POST" ? { status: 202, body: commanded } : ok(half)) });
    assert.equal(await run(["rollout", "rollback", "support-answer", "--timeout", "10ms"], stuck), 3);
    assert.match(stuck.lines.err[0] ?? "", /only 1 of 2 gateways obey.*\n.*headgate brake support-answer/);
    const notWaiting = fakeCli({ answer: () => ({ status: 202, body: { ...commanded, phase: "canary", condition: "progressing", message: "" } }) });
    assert.equal(await run(["rollout", "rollback", "support-answer", "--timeout", "0s"], notWaiting), 0);
  });

  it("brakes a route or all, and clears only the brake of all", async () => {
    const cli = fakeCli({ answer: () => ({ status: 202, body: { route: "support-answer", attempt: 4, status: "obeyed", gateways: { obeyed: 2, live: 2 } } }) });
    assert.equal(await run(["brake", "support-answer"], cli), 0);
    assert.deepEqual(cli.lines.out, ["support-answer attempt 4  braked: 2 of 2 gateways obey"]);
    assert.equal(await run(["brake", "*", "--reason", "incident"], cli), 0);
    assert.equal(await run(["brake", "*", "--clear"], cli), 0);
    assert.deepEqual(
      cli.requests.map(({ method, url }) => `${method} ${new URL(url).pathname}`),
      ["POST /v1/routes/support-answer/brake", "POST /v1/brake", "DELETE /v1/brake"],
    );
    assert.equal(await run(["brake", "support-answer", "--clear"], cli), 2);
  });

  it("ends with the exit code of the failure, without a stack when it was foreseen", async () => {
    const codes: [FakeAnswer | Error, number, RegExp][] = [
      [problem(404, "NOT_FOUND"), 5, /error NOT_FOUND: what is wrong\n {2}dwell.min: is odd\n {2}fix: do this/],
      [problem(409, "CONFLICT"), 6, /CONFLICT/],
      [problem(401, "FORBIDDEN"), 6, /FORBIDDEN/],
      [problem(422, "SPEC_INVALID"), 2, /SPEC_INVALID/],
      [problem(503, "KAFKA_UNREACHABLE"), 1, /KAFKA_UNREACHABLE/],
      [new TypeError("fetch failed"), 1, /no control API answers at http:\/\/127\.0\.0\.1:7070\n {2}fix: start it with `headgate control`/],
    ];
    for (const [answer, code, message] of codes) {
      const cli = fakeCli({ answer: () => answer });
      assert.equal(await run(["rollout", "get", "x"], cli), code);
      assert.match(cli.lines.err[0] ?? "", message);
      assert.doesNotMatch(cli.lines.err[0] ?? "", /\n\s+at /);
    }
    for (const usage of [
      ["rollout", "get"],
      ["nonsense"],
      ["rollout", "apply"],
      ["rollout", "get", "x", "-o", "xml"],
      ["rollout", "get", "x", "--url", "nowhere"],
      ["brake", "x", "y"],
    ]) {
      assert.equal(await run(usage, fakeCli({ answer: () => ok(view()) })), 2, usage.join(" "));
    }
    for (const asked of [["--help"], ["rollout", "apply", "--help"], ["--version"], ["version"]]) assert.equal(await run(asked, fakeCli({})), 0);
  });

  it("brings the token of a file, and never shows it", async () => {
    const cli = fakeCli({ files, answer: () => problem(401, "FORBIDDEN") });
    await run(["rollout", "list", "--token-file", "token"], cli);
    assert.equal(cli.requests[0]?.authorization, "Bearer abcdefghijklmnop");
    assert.doesNotMatch(JSON.stringify(cli.lines), /abcdefghijklmnop/);
  });

  it("prints the JSON Schema that is committed for other teams", async () => {
    const cli = fakeCli({});
    assert.equal(await run(["rollout", "schema"], cli), 0);
    const { description: _about, ...committed } = JSON.parse(readFileSync("topics/rollout.schema.json", "utf8"));
    assert.deepEqual(JSON.parse(cli.lines.out[0] ?? ""), committed);
  });

  it("is documented in docs/cli.md, each command, both ways, with examples that parse", () => {
    const paths = (command: Command, above: string): string[] =>
      command.commands.flatMap((inner) => (inner.commands.length > 0 ? paths(inner, `${above} ${inner.name()}`) : [`${above} ${inner.name()}`]));
    const text = readFileSync("docs/cli.md", "utf8");
    const documented = [...text.matchAll(/^\| `(headgate [a-z]+(?: [a-z]+)?)/gm)].map(([, path]) => path);
    assert.deepEqual([...new Set(documented)].sort(), paths(headgate(fakeCli({})), "headgate").sort());
    const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
    assert.equal(parse(example).route, "support-answer");
  });
});
