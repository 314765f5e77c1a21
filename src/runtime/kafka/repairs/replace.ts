import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

/** A module inside kafkajs. @param T what of it is known and used */
export function inside<T>(path: string): T {
  return load(`kafkajs/src/${path}`) as T;
}

/** What a class of kafkajs has its methods in. */
export function prototypeOf(path: string): object {
  return inside<{ readonly prototype: object }>(path).prototype;
}

type Method<This, Args extends unknown[], Result> = (this: This, ...args: Args) => Result;

/**
 * Puts another function in the place of one of kafkajs's.
 *
 * @param make the new one, from the one that was there
 * @throws {Error} there is none: kafkajs has changed inside, and what depends on the repair would go wrong without a word
 */
export function replace<This, Args extends unknown[], Result>(
  owner: object,
  name: string,
  make: (original: Method<This, Args, Result>) => Method<This, Args, Result>,
): void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== "function") throw new Error(`kafkajs has changed inside: there is no ${name} to be repaired`);
  Reflect.set(owner, name, make(original as Method<This, Args, Result>));
}
