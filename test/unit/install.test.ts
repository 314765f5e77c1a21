import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { roleNames } from "../../src/cli/roles.ts";
import { connectionConfiguration } from "../../src/config/connection.ts";
import { pomVersions } from "../../src/dev/cluster/jars.ts";
import { parseGatewayFile } from "../../src/stages/1-gateway/config.ts";
import { until } from "../fixtures/until.ts";

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly container_name?: string;
  readonly read_only?: boolean;
  readonly entrypoint?: readonly string[];
  readonly volumes?: readonly (string | { readonly type: string; readonly target: string; readonly read_only?: boolean })[];
}
const { services } = parse(readFileSync("docker-compose.yml", "utf8"), { merge: true }) as { services: Record<string, Service> };
const roles = roleNames.map((role) => ({ role, service: services[role] as Service }));
const installGuide = readFileSync("docs/install.md", "utf8");

/** What of a compose file's `${NAME:-default}` remains when nothing is set. */
const defaults = (text: string) => text.replaceAll(/\$\{[A-Z_]+(?::-([^}]*))?\}/g, "$1");

describe("the installation", () => {
  it("by compose runs every role by itself, read-only, from one image that a variable names", () => {
    for (const { role, service } of roles) {
      assert.deepEqual(service.command, [role]);
      assert.equal(service.read_only, true, role);
      assert.equal(defaults(service.image), "headgate");
    }
    assert.ok(Object.values(services).every(({ image }) => image.startsWith("${")));
  });

  it("lets what is scaled be scaled: no names of containers, and ports of this machine only where people call", () => {
    assert.ok(Object.values(services).every(({ container_name }) => container_name === undefined));
    const published = Object.entries(services).flatMap(([name, { ports }]) => (ports === undefined ? [] : [name]));
    assert.deepEqual(published, ["kafka", "registry", "gateway", "control"]);
  });

  it("gives roles no variable that nobody reads", async () => {
    for (const { role, service } of roles) {
      const { program } = (await import(`../../src/stages/${roleNames.indexOf(role) + 1}-${role}/main.ts`)) as {
        program: { configuration: { shape: object } };
      };
      const read = new Set([...Object.keys(connectionConfiguration.shape), ...Object.keys(program.configuration.shape), "OPENAI_API_KEY"]);
      const given = Object.keys(service.environment ?? {}).filter((name) => !read.has(name) && !read.has(name.replace(/_FILE$/, "")));
      assert.deepEqual(given, [], role);
    }
  });

  it("runs the Kafka and the registry that the tests run", () => {
    const { kafka, registry } = pomVersions();
    assert.equal(defaults(services.kafka?.image ?? ""), `apache/kafka:${kafka}`);
    assert.equal(defaults(services.registry?.image ?? ""), `apicurio/apicurio-registry:${registry}`);
  });

  it("tells of a gateway file that is not there, instead of making a directory of its name", () => {
    const { volumes = [] } = services.gateway as Service;
    const [file] = volumes.filter((volume) => typeof volume === "object");
    assert.deepEqual([file?.type, file?.target, file?.read_only], ["bind", "/etc/headgate/gateway.yaml", true]);
    // What is written in the short form and has a path is made when it is not there: only named volumes may be.
    const short = Object.values(services).flatMap(({ volumes: all = [] }) => all.filter((volume) => typeof volume === "string"));
    assert.deepEqual(
      short.filter((volume) => !/^[a-z]+:/.test(volume)),
      [],
    );
  });

  it("starts with a gateway file that fits, and shows none that does not", () => {
    assert.equal(parseGatewayFile("example", readFileSync("docs/examples/gateway.yaml", "utf8"), {}).routes.size, 1);
    const shown = [...installGuide.matchAll(/^```yaml\n(upstreams:[\s\S]*?)^```/gm)].map(([, text]) => text ?? "");
    assert.ok(shown.length > 0);
    for (const text of shown) {
      const keys = Object.fromEntries([...text.matchAll(/apiKeyEnv: "?([A-Z_]+)/g)].map(([, name]) => [name ?? "", "key"]));
      assert.ok(parseGatewayFile("docs/install.md", text, keys).upstreams.size > 0);
    }
  });

  it("can be braked with Kafka gone, by the one command of docs/install.md in the gateway's own container", async (t) => {
    const secrets = mkdtempSync(join(tmpdir(), "headgate-install-"));
    t.after(() => rmSync(secrets, { recursive: true, force: true }));
    const [, ...script] = services.secrets?.entrypoint ?? [];
    assert.equal(spawnSync(process.execPath, script, { cwd: secrets }).status, 0);
    const { environment = {}, ports } = services.gateway as Service;
    const inside = environment.HEADGATE_GATEWAY_ADMIN_PORT ?? "none";
    assert.ok(!ports?.some((port) => port.endsWith(`:${inside}`)), "the admin port is not published");
    const env = {
      ...Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, defaults(String(value)).replace("/run/headgate", secrets)])),
      KAFKA_BROKERS: "127.0.0.1:1",
      SCHEMA_REGISTRY_URL: "http://127.0.0.1:1",
      HEADGATE_GATEWAY_CONFIG: "docs/examples/gateway.yaml",
      HEADGATE_GATEWAY_DATA: join(secrets, "data"),
      HEADGATE_GATEWAY_PORT: "0",
      HEADGATE_GATEWAY_ADMIN_PORT: "0",
      NODE_NO_WARNINGS: "1",
    };
    const gateway = spawn(process.execPath, ["src/cli/main.ts", "gateway"], { env, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => gateway.kill("SIGKILL"));
    let log = "";
    gateway.stdout.on("data", (chunk) => (log += String(chunk)));
    const listens = /"url":"([^"]+)","msg":"the admin port listens"/;
    await until("the admin port listens", () => listens.test(log), 60_000);
    const command = /^docker compose exec gateway headgate (brake .*?)(?: +#.*)?$/m.exec(installGuide)?.[1] ?? "";
    assert.ok(command.includes(`--gateway http://127.0.0.1:${inside}`), command);
    const url = listens.exec(log)?.[1] ?? "";
    // The example's route has no rollout, so that only all routes can be braked.
    const asked = command.replace("support-answer", "*").replace(`http://127.0.0.1:${inside}`, url).split(" ");
    const { status, stdout } = spawnSync(process.execPath, ["src/cli/main.ts", ...asked], { env, encoding: "utf8" });
    assert.deepEqual([status, /braked at gateway-\w+, kept over a restart/.test(stdout)], [0, true], stdout);
  });

  it("names in docs/install.md every variable of the compose file, and no other", () => {
    const used = new Set([...readFileSync("docker-compose.yml", "utf8").matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name));
    const documented = [...installGuide.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
    assert.deepEqual(documented.toSorted(), [...used].toSorted());
  });
});
