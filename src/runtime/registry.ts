import { COMPATIBILITY, SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import type { AvroRecord } from "../../topics/avro.ts";
import { KnownError } from "../errors/known-error.ts";

/** The registry did not answer, or not as a registry does: an outage, during which nothing is judged bad (rule 7). */
export class RegistryUnreachableError extends KnownError {
  /** It answered that these credentials are wrong, or may not do this: waiting helps nobody who only starts. */
  readonly isRefused: boolean;

  constructor(url: string, cause: unknown, problem?: string) {
    const isRefused = [401, 403].includes((cause as { readonly status?: number } | null)?.status ?? 0);
    super(
      "REGISTRY_UNREACHABLE",
      `the schema registry at ${url} ${problem ?? (isRefused ? "refused us" : "did not answer")}: ${messageOf(cause).slice(0, 300)}`,
      {
        fix: isRefused
          ? "correct user and password in SCHEMA_REGISTRY_URL, or give this user read access to the subjects of the prefix"
          : "see that it runs and answers, or correct SCHEMA_REGISTRY_URL; what runs waits for it and goes on by itself, what has ended is to be started again",
        cause,
      },
    );
    this.isRefused = isRefused;
  }
}

/**
 * The registry denies a schema that it must know. One that keeps its schemas in Kafka answers for some time after its start
 * before it has read them all: an outage, too.
 *
 * @param denied the id of a schema, or the subject that has none
 */
export function notLoaded(url: string, denied: number | string): RegistryUnreachableError {
  const what = typeof denied === "number" ? `schema ${denied}` : `any schema of subject ${denied}`;
  return new RegistryUnreachableError(
    url,
    new Error(`it does not know ${what}, which records here are written with`),
    "has not loaded its schemas yet, or lost them",
  );
}

/** Longest wait for one answer; a registry that hangs is an outage, too. */
const timeoutMs = 10_000;

/** The few calls that headgate makes to a registry with Confluent's API, with outages told apart from answers. */
export class Registry {
  /** Without user and password. */
  readonly url: string;
  readonly #client: SchemaRegistry;
  readonly #authorization: Readonly<Record<string, string>>;

  /** @param address base URL; user and password in it are sent as basic authentication */
  constructor(address: string) {
    const url = parseUrl(address);
    const username = decodeURIComponent(url.username);
    const password = decodeURIComponent(url.password);
    url.username = "";
    url.password = "";
    this.url = url.href.replace(/\/$/, "");
    this.#authorization = username === "" ? {} : { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
    this.#client = new SchemaRegistry({
      host: this.url,
      clientId: "headgate",
      retry: { retries: 2, initialRetryTimeInSecs: 0.1 },
      ...(username === "" ? {} : { auth: { username, password } }),
    });
  }

  /** Id of exactly this schema under the subject; null when it was never registered there. Needs no right to write. */
  async idOf(subject: string, schema: AvroRecord): Promise<number | null> {
    try {
      return checkId(await withDeadline(this.#client.getRegistryIdBySchema(subject, { schema: JSON.stringify(schema), type: SchemaType.AVRO })));
    } catch (error) {
      if (isUnknown(error)) return null;
      throw new RegistryUnreachableError(this.url, error);
    }
  }

  /**
   * The Avro schema that a writer registered; null when the registry knows no such id; a string says why it is not usable.
   * Not by the client, which takes a proxy's page for a broken schema: that would dead-letter good records.
   */
  async schemaOf(id: number): Promise<object | string | null> {
    const answer = await this.#call("GET", `/schemas/ids/${id}`);
    if (answer === null) return null;
    if (typeof answer.schema !== "string") throw new RegistryUnreachableError(this.url, new Error("the answer holds no schema"));
    if (answer.schemaType !== undefined && answer.schemaType !== SchemaType.AVRO) return `is ${answer.schemaType}, not Avro`;
    const schema = parseObject(answer.schema);
    return Object.keys(schema).length > 0 ? schema : "is not an Avro record";
  }

  /**
   * Registers the schema, with FULL_TRANSITIVE compatibility set on the subject before anything is compared.
   * @throws {KnownError} SCHEMA_REFUSED with the registry's reason
   */
  async register(subject: string, schema: AvroRecord): Promise<number> {
    const level = await this.compatibility(subject);
    if (level !== null && level !== COMPATIBILITY.FULL_TRANSITIVE)
      await this.#call("PUT", `/config/${encodeURIComponent(subject)}`, { compatibility: COMPATIBILITY.FULL_TRANSITIVE });
    try {
      const text = { schema: JSON.stringify(schema), type: SchemaType.AVRO } as const;
      const { id } = await withDeadline(this.#client.register(text, { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE }));
      return checkId(id);
    } catch (error) {
      if (!isRefusal(error)) throw new RegistryUnreachableError(this.url, error);
      throw new KnownError("SCHEMA_REFUSED", `the registry refused the schema of ${subject}: ${messageOf(error)}`, {
        fix: "make the change compatible both ways (new fields with defaults, no renames, no changes of type), or use a new prefix",
        cause: error,
      });
    }
  }

  /** The compatibility level set on the subject itself; null when none is. */
  async compatibility(subject: string): Promise<string | null> {
    const answer = await this.#call("GET", `/config/${encodeURIComponent(subject)}`);
    const level = answer?.compatibilityLevel;
    return typeof level === "string" ? level : null;
  }

  /** Whether any version is registered under the subject. */
  async hasSubject(subject: string): Promise<boolean> {
    return (await this.#call("GET", `/subjects/${encodeURIComponent(subject)}/versions`)) !== null;
  }

  /** Removes a subject for good, where it exists; for uninstalling, and for prefixes of tests and demos. */
  async deleteSubject(subject: string): Promise<void> {
    const path = `/subjects/${encodeURIComponent(subject)}`;
    await this.#call("DELETE", path);
    await this.#call("DELETE", `${path}?permanent=true`);
  }

  /** For what the client has no call for. @returns null for the registry's own 404 */
  async #call(method: string, path: string, body?: object): Promise<Answer | null> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers: { ...this.#authorization, "content-type": "application/vnd.schemaregistry.v1+json" },
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      throw new RegistryUnreachableError(this.url, isTimeout(error) ? silence() : error instanceof Error && error.cause !== undefined ? error.cause : error);
    }
    const data = parseObject(text);
    if (response.status === 404 && hasErrorCode(data)) return null;
    if (!response.ok) {
      const problem = new Error(`${method} ${path} answered ${response.status} ${String(data.message ?? "")}`);
      throw new RegistryUnreachableError(this.url, Object.assign(problem, { status: response.status }));
    }
    return data;
  }
}

/** A parsed answer of the registry, or `{}` where it is no JSON object. */
interface Answer {
  readonly compatibilityLevel?: unknown;
  readonly error_code?: unknown;
  readonly message?: unknown;
  readonly schema?: unknown;
  readonly schemaType?: unknown;
}

function parseUrl(address: string): URL {
  if (!URL.canParse(address)) {
    throw new KnownError("CONFIG_INVALID", "the address of the schema registry is not a URL", {
      fix: "set SCHEMA_REGISTRY_URL, for example http://registry:8081",
    });
  }
  return new URL(address);
}

/** The client passes on whatever a page with status 200 holds; a record must never be written with such an id. */
function checkId(id: unknown): number {
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0) throw new Error("the answer holds no schema id");
  return id;
}

const isTimeout = (error: unknown): boolean => error instanceof Error && error.name === "TimeoutError";
const silence = (): Error => new Error(`no answer within ${timeoutMs / 1_000} s`);

/** Confluent's API puts a number such as 40403 into every error; a proxy's own page has none. */
function hasErrorCode(answer: Answer): boolean {
  return typeof answer.error_code === "number";
}

function parseObject(text: string | null): Answer {
  try {
    const data: unknown = JSON.parse(text ?? "");
    return typeof data === "object" && data !== null ? (data as Answer) : {};
  } catch {
    return {};
  }
}

function statusOf(error: unknown): number | undefined {
  const status = typeof error === "object" && error !== null && "status" in error ? error.status : undefined;
  return typeof status === "number" ? status : undefined;
}

/**
 * True for the registry's own "no such subject" or "no such schema". The client wraps it in an error without a status and
 * names a status in the message only where the answer was not the registry's. A refused connection it reports as status
 * 400: what is not known to be an answer is an outage.
 */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.name === "ConfluentSchemaRegistryError" && !error.message.includes("Error, status ");
}

/** Only 409 and 422 are a registry's opinion of a schema; everything else says nothing about it. */
function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status === 409 || status === 422;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(silence()), timeoutMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
