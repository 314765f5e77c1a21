import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";

const root = resolve(import.meta.dirname, "../..");
/** Inside the project, so that the built files find its node_modules as an installed package finds its own. */
mkdirSync(join(root, ".headgate"), { recursive: true });
const directory = mkdtempSync(join(root, ".headgate/build-"));
const dist = join(directory, "dist");
const bin = join(dist, "src/cli/main.js");

describe("the published package", () => {
  before(() => {
    const built = spawnSync(process.execPath, [join(root, "src/dev/build.ts"), dist], { encoding: "utf8" });
    assert.equal(built.status, 0, built.stdout + built.stderr);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("has a command that plain node runs, without type stripping, and that may be executed", () => {
    const helped = spawnSync(process.execPath, ["--no-experimental-strip-types", bin, "--help"], { encoding: "utf8" });
    assert.equal(helped.status, 0, helped.stderr);
    assert.match(helped.stdout, /Usage: headgate/);
    accessSync(bin, constants.X_OK);
  });

  it("says which Node it needs when it is run by an older one, before it loads anything", () => {
    const asNode20 = 'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})';
    const refused = spawnSync(process.execPath, ["--import", asNode20, bin, "--help"], { encoding: "utf8" });
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /needs Node 24 or later, and this is 20\.20\.2/);
  });

  it("carries the contracts that foreign teams read, and none of the development tools", () => {
    for (const path of ["topics/avro", "topics/asyncapi.json", "topics/rollout.schema.json", "src/cli/main.d.ts"])
      assert.ok(existsSync(join(dist, path)), path);
    for (const path of ["src/dev", "test", "topics/generate.js"]) assert.ok(!existsSync(join(dist, path)), path);
  });
});
