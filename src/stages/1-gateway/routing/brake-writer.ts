import type { Logger } from "pino";
import { type Brake, brakes } from "../../../../topics/index.ts";
import type { Appender } from "../../../runtime/port.ts";
import type { LiveRoutes } from "./live-routes.ts";

const REPEAT_MS = 10_000;

/** Writes the brakes of the admin port to `brakes` once Kafka is there, so that every gateway obeys and the decider ends the attempt. */
export class BrakeWriter {
  readonly #routes: LiveRoutes;
  readonly #log: Logger;
  /** Forgets a brake with whoever keeps it. */
  readonly #sentAtMs = new WeakMap<Brake, number>();
  #appender: Appender | null = null;

  constructor(routes: LiveRoutes, log: Logger) {
    this.#routes = routes;
    this.#log = log;
  }

  /** Tables and brakes have been restored: only now is it known what is in the topic already. */
  connect(appender: Appender): void {
    this.#appender = appender;
    this.tick();
  }

  /** To be called a few times a second. */
  tick(): void {
    if (this.#appender === null) return;
    for (const brake of this.#routes.unwrittenBrakes) {
      if (performance.now() - (this.#sentAtMs.get(brake) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) continue;
      // An attempt that is over needs no brake, and its record would take the place of the next attempt's.
      if (brake.route !== "*" && !this.#isOfNow(brake)) this.#routes.forgetBrake(brake);
      else this.#send(this.#appender, brake);
    }
  }

  #isOfNow({ route, rollout, attempt }: Brake): boolean {
    const now = this.#routes.attemptOf(route);
    return now !== null && now.rollout === rollout && now.attempt === attempt;
  }

  /** What arrives in the topic is read back and is then no longer unwritten. */
  #send(appender: Appender, brake: Brake): void {
    this.#sentAtMs.set(brake, performance.now());
    const about = { route: brake.route, attempt: brake.attempt };
    appender.append([{ topic: brakes, partition: 0, key: brake.route, value: brake }]).then(
      () => this.#log.info(about, "the brake of the admin port is in the topic"),
      (error: unknown) => this.#log.warn({ ...about, err: error }, "the brake of the admin port was not written, trying again"),
    );
  }
}
