import type { Logger } from "pino";

export interface BackgroundConnection {
  /** Stops trying; resolves when nothing is under way any more. */
  stop(): Promise<void>;
}

/**
 * Tries to connect until it succeeds, since the gateway serves without the log too. The first failure and then one a minute is told.
 *
 * @param attempt connects and resolves when everything is in place
 */
export function connectInBackground(
  attempt: () => Promise<void>,
  { log, firstPauseMs = 250, longestPauseMs = 5_000 }: { readonly log: Logger; readonly firstPauseMs?: number; readonly longestPauseMs?: number },
): BackgroundConnection {
  let stopped = false;
  let wake: () => void = () => undefined;
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const running = (async () => {
    let toldAtMs = 0;
    for (let pauseMs = firstPauseMs; !stopped; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        await attempt();
        log.info("connected to the log");
        return;
      } catch (error) {
        if (Date.now() - toldAtMs > 60_000) {
          toldAtMs = Date.now();
          log.warn({ err: error }, "the log cannot be reached: serving without it and trying again");
        }
        if (!stopped) await pause(pauseMs);
      }
    }
  })();
  return {
    async stop() {
      stopped = true;
      wake();
      await running;
    },
  };
}
