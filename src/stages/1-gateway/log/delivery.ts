import type { Logger } from "pino";
import type { Request, requests } from "../../../../topics/index.ts";
import { KnownError } from "../../../errors/known-error.ts";
import type { Appender, Outgoing } from "../../../runtime/port.ts";

export type RequestRecord = Outgoing<typeof requests> & { readonly value: Request };

export interface DeliveryOptions {
  readonly appender: Appender;
  readonly log: Logger;
  /** First and longest pause after a failed append, ms. */
  readonly backoffMs: { readonly first: number; readonly longest: number };
  readonly onFailure: () => void;
  /** A record can never be written. */
  readonly onRefusal: () => void;
}

interface Refused {
  readonly record: RequestRecord | undefined;
  readonly error: KnownError;
}

const isRefusal = (error: unknown): error is KnownError =>
  error instanceof KnownError && (error.code === "RECORD_INVALID" || error.code === "RECORD_TOO_LARGE");

/** Appends records until it succeeds, the same in the same order: readers drop the repeats by instance and seq. */
export class Delivery {
  readonly #options: DeliveryOptions;
  #isEnded = false;
  #wake: () => void = () => undefined;
  /** Whether the last attempt succeeded. */
  isWorking = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /**
   * @param mayGiveUp asked after each failure
   * @returns false when it gave up or ended: whether the records were written is not known then
   */
  async deliver(batch: readonly RequestRecord[], mayGiveUp: () => boolean = () => false): Promise<boolean> {
    const refused: Refused[] = [];
    const isDone = await this.#deliver(batch, mayGiveUp, refused);
    // Of a batch that is not done all come again, and are refused again.
    if (isDone) for (const each of refused) this.#refuse(each);
    return isDone;
  }

  async #deliver(batch: readonly RequestRecord[], mayGiveUp: () => boolean, refused: Refused[]): Promise<boolean> {
    const { appender, log, backoffMs, onFailure } = this.#options;
    for (let pauseMs = backoffMs.first; !this.#isEnded; pauseMs = Math.min(pauseMs * 2, backoffMs.longest)) {
      try {
        await appender.append(batch);
        this.isWorking = true;
        return true;
      } catch (error) {
        if (isRefusal(error) && batch.length > 1) return await this.#apart(batch, mayGiveUp, refused);
        if (isRefusal(error)) {
          refused.push({ record: batch[0], error });
          return true;
        }
        this.isWorking = false;
        onFailure();
        log.warn({ err: error, records: batch.length, retryInMs: pauseMs }, "the log did not take records, retrying");
        if (mayGiveUp()) return false;
        await this.#pause(pauseMs);
      }
    }
    return false;
  }

  /** Nothing is tried any more. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** One record of a batch can never be written: the others must not wait for it. */
  async #apart(batch: readonly RequestRecord[], mayGiveUp: () => boolean, refused: Refused[]): Promise<boolean> {
    const middle = Math.ceil(batch.length / 2);
    return (await this.#deliver(batch.slice(0, middle), mayGiveUp, refused)) && (await this.#deliver(batch.slice(middle), mayGiveUp, refused));
  }

  #refuse({ record, error }: Refused): void {
    this.#options.log.error({ err: error, requestId: record?.value.requestId }, "a record does not fit its topic and is dropped");
    this.#options.onRefusal();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (0.5 + Math.random() / 2));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
