import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** How the stub answers: as a registry does, or as an outage looks like. */
type Mood = "registry" | "loading" | "proxy 404" | "proxy 200" | "503" | "401";

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
  /** From here on the port is closed. */
  close(): void;
}

/** Whether a subject is there: each is until it is deleted, and again once a schema is registered under it, which the caller does. */
function aboutSubject(method = "", path: string, removed: Set<string>): [status: number, data: object] | undefined {
  const subject = /^\/subjects\/([^/]+)/.exec(path)?.[1];
  if (subject === undefined) return undefined;
  if (method === "DELETE") removed.add(subject);
  if (method === "POST" && path.endsWith("/versions")) removed.delete(subject);
  if (method === "POST") return undefined;
  return removed.has(subject) && method === "GET" ? [404, { error_code: 40401, message: "Subject not found" }] : [200, [1]];
}

/** A registry in memory, with Confluent's answers; for tests of outages that a real one cannot be talked into. */
export async function registryStub(t: TestContext): Promise<RegistryStub> {
  const schemas: { schema: string; schemaType?: string }[] = [];
  const put = (schema: object | string, schemaType?: string): number => {
    const text = typeof schema === "string" ? schema : JSON.stringify(schema);
    const known = schemas.findIndex((entry) => entry.schema === text);
    if (known >= 0) return known + 1;
    return schemas.push(schemaType === undefined ? { schema: text } : { schema: text, schemaType });
  };
  const removed = new Set<string>();
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const answer = (status: number, data: object | string) => {
        const isPage = typeof data === "string";
        response.writeHead(status, { "content-type": isPage ? "text/html" : "application/vnd.schemaregistry.v1+json" });
        response.end(isPage ? data : JSON.stringify(data));
      };
      const path = request.url ?? "";
      stub.asked.push(`${request.method} ${path}`);
      const told = outages[stub.mood] ?? aboutSubject(request.method, path, removed);
      if (told !== undefined) return answer(...told);
      if (request.method === "GET") {
        const found = schemas.slice(0, stub.loaded)[Number(/^\/schemas\/ids\/(\d+)$/.exec(path)?.[1] ?? 0) - 1];
        return found === undefined ? answer(404, { error_code: 40403, message: "Schema not found" }) : answer(200, found);
      }
      const { schema } = JSON.parse(body);
      if (path.endsWith("/versions")) return answer(200, { id: put(schema) });
      const known = schemas.slice(0, stub.loaded).findIndex((entry) => entry.schema === schema);
      return known < 0 ? answer(404, { error_code: 40403, message: "Schema not found" }) : answer(200, { id: known + 1 });
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
    loaded: Number.POSITIVE_INFINITY,
    asked: [],
    put,
    close,
  };
  return stub;
}
