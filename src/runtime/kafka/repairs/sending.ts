import { pause } from "../../deps.ts";
import { sendOnce } from "../sent-once.ts";
import { prototypeOf, replace } from "./replace.ts";

/** Nothing is sent twice where a leader moves (see `sendOnce`). */
export function repairProduce(): void {
  replace<unknown, [about: { readonly topicData: Parameters<typeof sendOnce>[0] }], Promise<unknown>>(
    prototypeOf("broker"),
    "produce",
    (produce) =>
      function (about) {
        return sendOnce(about.topicData, () => produce.call(this, about));
      },
  );
}

/** Before a coordinator that is busy with the transaction, or with the end of the one before, is asked again, ms; and how often. */
const busyWaitMs = 20;
const busyTries = 250;

/**
 * The partitions of several brokers are added to a transaction one request after the other, each until the coordinator has time for it. kafkajs asks for all at once,
 * and a coordinator that is busy with one refuses the others; a refusal has the whole send begin anew while those that were not refused are under way, which
 * `sendOnce` has to refuse: on several brokers every task began anew every few seconds, without anything having failed.
 */
export function repairTransactions(): void {
  /** The last request of each coordinator; a client has one transaction at a time. */
  const last = new WeakMap<object, Promise<unknown>>();
  replace<object, [about: object], Promise<unknown>>(prototypeOf("broker"), "addPartitionsToTxn", (add) => {
    const addPatiently = async (broker: object, about: object) => {
      for (let tried = 1; ; tried++) {
        try {
          return await add.call(broker, about);
        } catch (error) {
          if ((error as { type?: string }).type !== "CONCURRENT_TRANSACTIONS" || tried >= busyTries) throw error;
          await pause(busyWaitMs);
        }
      }
    };
    return function (about) {
      const added = (last.get(this) ?? Promise.resolve()).then(() => addPatiently(this, about));
      last.set(
        this,
        added.catch(() => undefined),
      );
      return added;
    };
  });
}
