import type { Cli } from "../../../src/cli/cli.ts";

export interface FakeCli extends Cli {
  readonly lines: { readonly out: string[]; readonly err: string[] };
  readonly requests: { method: string; url: string; body: unknown; authorization: string | undefined }[];
}

/** What a fetch answers: a JSON body with its status, or a problem document. */
export type FakeAnswer = { readonly status: number; readonly body: unknown };

/**
 * A command line whose files are given and whose control API is a function. Event streams end at once, so that what looks
 * on goes by its tick.
 */
/** A server-sent event every 20 ms, so that nothing that watches waits for its tick. */
function eventsUntil(signal: AbortSignal | null | undefined): ReadableStream<Uint8Array> {
  let timer: NodeJS.Timeout | undefined;
  return new ReadableStream({
    start(controller) {
      timer = setInterval(() => controller.enqueue(new TextEncoder().encode("event: state\ndata: {}\n\n")), 20);
      signal?.addEventListener("abort", () => {
        clearInterval(timer);
        controller.error(new Error("aborted"));
      });
    },
    cancel() {
      clearInterval(timer);
    },
  });
}

export function fakeCli(about: {
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly answer?: (method: string, path: string, nth: number) => FakeAnswer | Error;
  readonly isInteractive?: boolean;
}): FakeCli {
  const lines = { out: [] as string[], err: [] as string[] };
  const requests: FakeCli["requests"] = [];
  return {
    lines,
    requests,
    terminal: {
      out: (text) => void lines.out.push(text),
      err: (text) => void lines.err.push(text),
      redraw: (text) => void lines.out.push(`REDRAWN\n${text}`),
      isInteractive: about.isInteractive ?? false,
      isColored: false,
    },
    env: about.env ?? {},
    now: () => 1_000_000 + 31 * 60_000,
    read: async (path) => {
      const text = about.files?.[path];
      if (text === undefined) throw new Error("ENOENT: no such file");
      return text;
    },
    interrupted: new AbortController().signal,
    exitCode: 0,
    fetch: async (input, init) => {
      const url = new URL(String(input));
      if (url.pathname === "/v1/events") return new Response(eventsUntil(init?.signal));
      const method = init?.method ?? "GET";
      const headers = (init?.headers ?? {}) as Record<string, string>;
      requests.push({ method, url: url.href, body: typeof init?.body === "string" ? JSON.parse(init.body) : undefined, authorization: headers.authorization });
      const answer = about.answer?.(method, url.pathname, requests.length) ?? new TypeError("fetch failed");
      if (answer instanceof Error) throw answer;
      const type = answer.status >= 400 ? "application/problem+json" : "application/json";
      return new Response(JSON.stringify(answer.body), { status: answer.status, headers: { "content-type": type } });
    },
  };
}
