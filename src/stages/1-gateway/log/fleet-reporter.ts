import type { Logger } from "pino";
import { type FleetReport, fleet } from "../../../../topics/index.ts";
import type { Appender } from "../../../runtime/port.ts";

const EVERY_MS = 5_000;
const DEBOUNCE_MS = 50;

/** Tells `fleet` what this gateway serves: at start, each few seconds, soon after each change, and when it stops. */
export class FleetReporter {
  readonly #report: () => FleetReport;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #appender: Appender | null = null;
  #soon: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  #isDue = false;

  constructor(report: () => FleetReport, log: Logger) {
    this.#report = report;
    this.#log = log;
    this.#timer = setInterval(() => this.#send(), EVERY_MS);
  }

  connect(appender: Appender): void {
    this.#appender = appender;
    this.#send();
  }

  /** Something that the report shows has changed; several changes within 50 ms make one report. */
  changed(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      this.#send();
    }, DEBOUNCE_MS);
  }

  /** Sends a last report and stops; gives up at the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    clearInterval(this.#timer);
    if (this.#soon !== null) clearTimeout(this.#soon);
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, deadlineMs - Date.now()));
    });
    const last = (async () => {
      await this.#sending;
      this.#send();
      await this.#sending;
    })();
    await Promise.race([last, deadline]);
    clearTimeout(timer);
    this.#appender = null;
  }

  /** At most one report is on its way; a report that fails is not repeated, the next one says more. */
  #send(): void {
    if (this.#appender === null) return;
    if (this.#sending !== null) {
      this.#isDue = true;
      return;
    }
    const value = this.#report();
    this.#sending = this.#appender
      .append([{ topic: fleet, partition: 0, key: value.instance, value }])
      .catch((error: unknown) => this.#log.warn({ err: error }, "the fleet report was not written"))
      .finally(() => {
        this.#sending = null;
        if (!this.#isDue) return;
        this.#isDue = false;
        this.#send();
      });
  }
}
