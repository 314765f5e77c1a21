import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** How the stub answers: as a registry does, as an outage looks like, or not at all. */
type Mood = "registry" | "silent" | "loading" | "proxy 404" | "proxy 200" | "503" | "401";

const outages: Partial<Record<Mood, [status: number, data: object | string]>> = {
  loading: [404, { error_code: 40403, message: "Schema not found" }],
  "proxy 404": [404, "<html>no such backend</html>"],
  "proxy 200": [200, "<html>please log in</html>"],
  "401": [401, { error_code: 401, message: "Unauthorized" }],
  "503": [503, { error_code: 50301, message: "starting" }],
};

export interface RegistryStub {
  readonly url: string;
  mood: Mood;
  /** How many of its schemas it has loaded, in the order in which they were registered; what came later it denies. */
  loaded: number;
  /** Requests that were answered, by `METHOD path`. */
  readonly asked: string[];
  /** Registers a schema under its own id, as another system would. */
  put(schema: object | string, schemaType?: string): number;
  /** Registers a schema under a subject, as `headgate topics apply` does. */
  register(subject: string, schema: object | string): number;
  /** From here on the port is closed. */
  close(): void;
}

type Told = readonly [status: number, data: object | string];

/** What a registry keeps, and what it says of that. */
class Kept {
  /** How many schemas can be seen. */
  loaded = Number.POSITIVE_INFINITY;
  readonly #schemas: { schema: string; schemaType?: string }[] = [];
  /** Ids of each subject that is there. */
  readonly #subjects = new Map<string, Set<number>>();

  put(schema: object | string, schemaType?: string): number {
    const text = typeof schema === "string" ? schema : JSON.stringify(schema);
    const known = this.#schemas.findIndex((entry) => entry.schema === text);
    if (known >= 0) return known + 1;
    return this.#schemas.push(schemaType === undefined ? { schema: text } : { schema: text, schemaType });
  }

  register(subject: string, schema: object | string): number {
    const id = this.put(schema);
    this.#subjects.set(subject, (this.#subjects.get(subject) ?? new Set()).add(id));
    return id;
  }

  tell(method: string, path: string, body: string): Told {
    const subject = /^\/subjects\/([^/]+)/.exec(path)?.[1];
    if (subject === undefined) return this.#schema(Number(/^\/schemas\/ids\/(\d+)$/.exec(path)?.[1] ?? 0));
    const ids = [...(this.#subjects.get(subject) ?? [])].filter((id) => id <= this.loaded);
    if (method === "POST") return this.#posted(subject, ids, path, JSON.parse(body).schema);
    if (method === "DELETE") this.#subjects.delete(subject);
    return ids.length === 0 ? [404, { error_code: 40401, message: "Subject not found" }] : [200, ids];
  }

  #schema(id: number): Told {
    const found = id <= this.loaded ? this.#schemas[id - 1] : undefined;
    return found === undefined ? [404, { error_code: 40403, message: "Schema not found" }] : [200, found];
  }

  #posted(subject: string, ids: readonly number[], path: string, schema: string): Told {
    if (path.endsWith("/versions")) return [200, { id: this.register(subject, schema) }];
    const known = ids.find((id) => this.#schemas[id - 1]?.schema === schema);
    return known === undefined ? [404, { error_code: 40403, message: "Schema not found" }] : [200, { id: known }];
  }
}

/** A registry in memory, with Confluent's answers; for tests of outages that a real one cannot be talked into. */
export async function registryStub(t: TestContext): Promise<RegistryStub> {
  const kept = new Kept();
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const { method = "", url: path = "" } = request;
      stub.asked.push(`${method} ${path}`);
      if (stub.mood === "silent") return;
      const [status, data] = outages[stub.mood] ?? kept.tell(method, path, body);
      const isPage = typeof data === "string";
      response.writeHead(status, { "content-type": isPage ? "text/html" : "application/vnd.schemaregistry.v1+json" });
      response.end(isPage ? data : JSON.stringify(data));
    });
  });
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(close);
  const stub: RegistryStub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mood: "registry",
    get loaded() {
      return kept.loaded;
    },
    set loaded(count) {
      kept.loaded = count;
    },
    asked: [],
    put: kept.put.bind(kept),
    register: kept.register.bind(kept),
    close,
  };
  return stub;
}
