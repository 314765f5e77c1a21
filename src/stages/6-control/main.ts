import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { parseConfig } from "../../config/parse-config.ts";
import { version } from "../../config/version.ts";
import { KnownError } from "../../errors/known-error.ts";
import type { Program, ProgramContext, RunningProgram } from "../../runtime/program.ts";
import { checkExposure, controlConfiguration, parseTokens } from "./config.ts";
import { EventFeed } from "./event-feed.ts";
import { server } from "./server.ts";
import { openViews } from "./views.ts";
import { openWriteLog } from "./write-log.ts";
import { WriteQueue } from "./write-queue.ts";

const heartbeatMs = 15_000;

/** The control role: HTTP API over what the topics say, and the door through which people and systems write to them. */
export const program = { name: "control", configuration: controlConfiguration, servesWithoutKafka: true, start } satisfies Program;

/** Control, listening. */
export interface RunningControl extends RunningProgram {
  /** With the port that it was given, also when 0 was asked for. */
  readonly url: string;
}

async function start(context: ProgramContext): Promise<RunningControl> {
  const config = parseConfig("control", controlConfiguration, context.env);
  const { HEADGATE_CONTROL_HOST: host, HEADGATE_CONTROL_PORT: port, HEADGATE_CONTROL_TOKEN_FILE: tokenFile } = config;
  checkExposure(host, tokenFile);
  const tokens = tokenFile === undefined ? [] : parseTokens(await readTokenFile(tokenFile));

  const log = await context.connect();
  const failed = Promise.withResolvers<void>();
  failed.promise.catch(() => undefined); // whoever runs it looks at it when it listens
  const views = openViews(log, failed.reject);
  views.ready.catch(failed.reject);
  const write = openWriteLog(log);
  const feed = new EventFeed(context.instance);
  views.onChange((change) => feed.publish(change));
  context.readiness("views", () => views.isReady());

  const app = server({
    views,
    write,
    feed,
    tokens,
    queue: new WriteQueue(),
    metrics: context.metrics,
    version,
    log: context.log,
    heartbeatMs,
    now: Date.now,
    newId: randomUUID,
  });
  const stop = async () => {
    await app.close();
    await Promise.all([views.close(), write.close()]);
    await log.close();
    failed.resolve();
  };
  try {
    await app.listen({ host, port });
  } catch (cause) {
    await stop();
    throw new KnownError("CONFIG_INVALID", `control cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fix: "stop what listens there, or set HEADGATE_CONTROL_PORT (0: any free port)",
      cause,
    });
  }
  const address = app.server.address() as AddressInfo;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
  context.log.info({ url }, "control API listens");
  return { finished: failed.promise, stop, url };
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new KnownError("CONFIG_INVALID", `control cannot start: the file of HEADGATE_CONTROL_TOKEN_FILE cannot be read: ${path}`, {
      fix: "check the path and its permissions",
      cause,
    });
  }
}
