import { connect } from "node:net";
import type { UpstreamConfig } from "../upstream-config.ts";
import type { Remark } from "./remarks.ts";

/** Longest wait for one upstream, ms: a person waits for all of them together. */
const MOST_WAIT_MS = 3_000;

/** Says of each upstream that takes no connection now why. They are asked all at once and sent nothing: whether a key is accepted only a call tells. */
export async function upstreamRemarks(upstreams: Iterable<UpstreamConfig>): Promise<Remark[]> {
  const found = await Promise.all([...upstreams].map(async (upstream) => ({ upstream, problem: await connectionProblem(upstream) })));
  return found.flatMap(({ upstream: { name, baseUrl }, problem }): Remark[] =>
    problem === null
      ? []
      : [
          {
            level: "error",
            code: "upstream_unreachable",
            message: `upstream ${name}: ${baseUrl.host} takes no connection from here (${problem})`,
            fix: "check its baseUrl in the gateway's file, that it runs, and the network between",
          },
        ],
  );
}

function connectionProblem({ baseUrl, timeouts }: UpstreamConfig): Promise<string | null> {
  const port = baseUrl.port === "" ? (baseUrl.protocol === "https:" ? 443 : 80) : Number(baseUrl.port);
  const waitMs = Math.min(MOST_WAIT_MS, timeouts.connectMs);
  return new Promise((resolve) => {
    // An address of IPv6 stands in brackets in a URL only.
    const socket = connect({ host: baseUrl.hostname.replace(/^\[|\]$/g, ""), port });
    const timer = setTimeout(() => end(`no answer within ${waitMs} ms`), waitMs);
    const end = (problem: string | null) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem);
    };
    socket.once("connect", () => end(null));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? "unknown"));
  });
}
