import { prototypeOf, replace } from "./replace.ts";

/** That no broker knows a group's coordinator at the moment, since it moves or all are busy, passes. kafkajs takes it for final, and its consumer does not start again. */
export function repairCoordinators(): void {
  replace<unknown, [about: object], Promise<unknown>>(
    prototypeOf("cluster"),
    "findGroupCoordinatorMetadata",
    (find) =>
      async function (about) {
        try {
          return await find.call(this, about);
        } catch (error) {
          if (error instanceof Error && error.name === "KafkaJSGroupCoordinatorNotFound") Object.assign(error, { retriable: true });
          throw error;
        }
      },
  );
}

/** A member of a group, as far as it decides whether a heartbeat is due. */
interface Member {
  /** When the coordinator was asked last, by the wall clock, epoch ms. */
  lastRequest: number;
}

/**
 * A member asks for its place in the group again when its interval has passed by the wall clock. One that was set back since it asked last would keep it silent
 * until that time has come again, and the group would put it out: a clock that ran ahead and is corrected is an ordinary thing.
 */
export function repairHeartbeats(): void {
  replace<Member, [about: { readonly interval: number }], Promise<void>>(
    prototypeOf("consumer/consumerGroup"),
    "heartbeat",
    (heartbeat) =>
      function (about) {
        this.lastRequest = Math.min(this.lastRequest, Date.now());
        return heartbeat.call(this, about);
      },
  );
}
