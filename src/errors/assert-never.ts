/** Stops the build when a union gains a member that a switch does not handle; throws if one arrives all the same. */
export function assertNever(value: never): never {
  throw new Error(`unhandled: ${JSON.stringify(value)}`);
}
