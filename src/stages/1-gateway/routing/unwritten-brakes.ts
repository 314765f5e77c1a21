import type { Brake } from "../../../../topics/index.ts";

/** Whether two records are of the same order to stop. */
export const isSameBrake = (a: Brake, b: Brake): boolean =>
  a.route === b.route && a.rollout === b.rollout && a.attempt === b.attempt && a.atMs === b.atMs && a.actor === b.actor;

/**
 * Brakes that were given to this gateway itself and have not been seen in `brakes`. Until then the topic may not lift them: an old clearing that
 * is read after an outage says nothing about a stop that it could not know.
 */
export class UnwrittenBrakes {
  #list: readonly Brake[] = [];

  get list(): readonly Brake[] {
    return this.#list;
  }

  /** Whether one of them stops all routes. */
  get all(): boolean {
    return this.#list.some(({ route }) => route === "*");
  }

  /** Takes a brake; of several on all routes the youngest stays, which the others' clearings do not lift. */
  add(brake: Brake): void {
    if (this.#list.some((known) => isSameBrake(known, brake))) return;
    const isOlder = ({ route, atMs }: Brake) => brake.route === "*" && route === "*" && atMs <= brake.atMs;
    this.#list = [...this.#list.filter((known) => !isOlder(known)), brake];
  }

  /** Takes note of a record of the topic: one of ours has arrived there, or somebody cleared all routes after ours was set. */
  take(record: Brake): void {
    const isOver = (own: Brake) => isSameBrake(own, record) || (record.cleared && own.route === "*" && record.atMs > own.atMs);
    if (this.#list.some(isOver)) this.#list = this.#list.filter((own) => !isOver(own));
  }

  forget(brake: Brake): void {
    this.#list = this.#list.filter((own) => !isSameBrake(own, brake));
  }
}
