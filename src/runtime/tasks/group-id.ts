import { hash32 } from "../../domain/hash/hash32.ts";
import type { TaskRole } from "../port.ts";

/** Name and version of the assigner that all tasks use; it is part of every group's name. */
export const ASSIGNER = "headgate-copartitioned";
export const ASSIGNER_VERSION = 1;

/**
 * Group of a role: `<prefix><role>.<8 hex>`. The hash is of its inputs and of the assigner, since members that disagree about either
 * must never share a group (DESIGN.md section 5, rule 9): a new version that reads more begins in a group of its own, at the start of its inputs or
 * at offsets that were copied.
 */
export function groupIdOf(prefix: string, role: Pick<TaskRole, "name" | "inputs">): string {
  const inputs = role.inputs.map(({ name }) => name).sort();
  const signature = hash32(JSON.stringify([ASSIGNER, ASSIGNER_VERSION, ...inputs]));
  return `${prefix}${role.name}.${signature.toString(16).padStart(8, "0")}`;
}

/** Transactional id of one task. Without the hash: whoever takes a partition over fences its predecessor, whatever group that was in. */
export function transactionalIdOf(prefix: string, role: Pick<TaskRole, "name">, partition: number): string {
  return `${prefix}${role.name}-${partition}`;
}
