import { createServer } from "node:net";

/** Below 32768, where Linux begins to hand out ports to outgoing connections: those would race with a broker's start. */
const firstPort = 20_000;
const portCount = 12_000;

/** Ports on which nothing listens on 127.0.0.1 now, all different. Nobody reserves them: a start that loses the race has to try again. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count && tries < 200; tries++) {
    const port = firstPort + Math.floor(Math.random() * portCount);
    if (!found.has(port) && (await canListen(port))) found.add(port);
  }
  if (found.size < count) throw new Error(`no ${count} free ports between ${firstPort} and ${firstPort + portCount}`);
  return [...found];
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
