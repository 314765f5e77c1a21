/** Held beside the values: they are what their writers wrote, and are shown and compared as such. */
const times = new WeakMap<object, number>();

/** Remembers when a table's value was appended, epoch ms: by the broker's clock where the topic has `timestamps: "append"`, else by its writer's. */
export function markAppended(value: object, appendedAtMs: number): void {
  times.set(value, appendedAtMs);
}

/** When a value that a table holds was appended, epoch ms; the value's own time where that is not known. */
export const heardAtMs = (value: { readonly atMs: number }): number => times.get(value) ?? value.atMs;
