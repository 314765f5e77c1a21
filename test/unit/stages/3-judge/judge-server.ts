import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** What the judge was asked, as it came over the wire. */
export interface Question {
  readonly request: {
    readonly model: string;
    readonly messages: readonly { readonly role: string; readonly content: string }[];
    readonly response_format: { readonly type: string; readonly json_schema: { readonly name: string; readonly strict: boolean; readonly schema: JsonSchema } };
    readonly [field: string]: unknown;
  };
  readonly headers: IncomingMessage["headers"];
  readonly item: { readonly prompt: string; readonly answer: string; readonly context?: string; readonly reference?: string };
  readonly nonce: string;
  /** Questions before this one. */
  readonly index: number;
}
interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly enum?: readonly string[];
}

type Reply = { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body: unknown } | "hang" | "hang_body" | "drop";

/** A verdict in the form that was asked for, with the same answer to every criterion. */
export function filled(question: Question, answer: string, reasoning = "because"): string {
  const signals = Object.entries(question.request.response_format.json_schema.schema.properties ?? {}).map(([name, { properties }]) => {
    const ids = Object.keys(properties?.criteria?.properties ?? {});
    return [name, { evidence: "a quotation", reasoning, criteria: Object.fromEntries(ids.map((id) => [id, answer])) }];
  });
  return JSON.stringify(Object.fromEntries(signals));
}

export const completion = (content: string | null, over: { readonly finish_reason?: string; readonly refusal?: string } = {}): Reply => ({
  body: {
    id: "c1",
    object: "chat.completion",
    choices: [{ index: 0, finish_reason: over.finish_reason ?? "stop", message: { role: "assistant", content, refusal: over.refusal ?? null } }],
    usage: { prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 },
  },
});

/** An OpenAI-compatible endpoint that judges as a test says; closed when the test ends. */
export async function judgeServer(t: Pick<TestContext, "after">, reply: (question: Question) => Reply | Promise<Reply>) {
  const questions: Question[] = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const parsed = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Question["request"];
    const text = parsed.messages.map(({ content }) => content).join("\n");
    const [, nonce = "", item = "{}"] = /<item ([^>\s]+)>\n(.*)\n<\/item \1>/.exec(text) ?? [];
    const question: Question = { request: parsed, headers: request.headers, item: JSON.parse(item), nonce, index: questions.length };
    questions.push(question);
    mostUnderWay = Math.max(mostUnderWay, ++underWay);
    // Counted down before the last byte leaves, so that whoever has it may ask again at once.
    let isUnderWay = true;
    const done = () => {
      if (isUnderWay) underWay--;
      isUnderWay = false;
    };
    response.once("close", done);
    const answer = await reply(question);
    if (answer === "drop") request.socket.destroy();
    else if (answer === "hang_body") response.writeHead(200, { "content-type": "application/json" }).write("{");
    else if (answer !== "hang") {
      response.writeHead(answer.status ?? 200, { "content-type": "application/json", ...answer.headers });
      done();
      response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
    }
  };
  const server = createServer((request, response) => void handle(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, questions, mostUnderWay: () => mostUnderWay };
}
