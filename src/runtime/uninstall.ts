import type { Admin } from "kafkajs";
import { allTopics, catalog, deadLettered, type Topic } from "../../topics/index.ts";
import { KnownError } from "../errors/known-error.ts";
import type { Registry } from "./registry.ts";
import { subjectOf } from "./serde.ts";
import { type TopicsOptions, withSession } from "./topic-admin.ts";

type Where = Pick<TopicsOptions, "brokers" | "registryUrl" | "prefix" | "security" | "log" | "answerMs">;

/** What one prefix has on a cluster and in a registry; all names with prefix. */
export interface Installation {
  readonly topics: readonly string[];
  /** `members`: processes that are in it now. */
  readonly groups: readonly { readonly id: string; readonly members: number }[];
  /** Nobody can delete these: brokers forget them `transactional.id.expiration.ms` (7 days) after their last use. */
  readonly transactionalIds: readonly string[];
  readonly subjects: readonly string[];
  /** Topics and groups that begin with the prefix and are not of this headgate, for example of another one whose prefix is longer. */
  readonly foreign: readonly string[];
}

export interface Removal {
  readonly removed: readonly string[];
  readonly left: readonly { readonly name: string; readonly reason: string }[];
}

/** Roles that write in transactions, with the input whose partitions are their tasks. */
const taskInputs: Readonly<Record<string, Topic["name"]>> = {
  sampler: "requests",
  judge: "samples",
  "aggregator-fold": "scores",
  "aggregator-window": "partials",
  decider: "rollouts",
};
const uuid = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
/** After the prefix: a role's group, or one that a reader of whole topics made for itself. */
const ownGroup = new RegExp(`^(?:(?:${Object.keys(taskInputs).join("|")})\\.[0-9a-f]{8}|(?:tail|topics)-${uuid})$`);

/**
 * What there is to remove of a prefix; writes nothing.
 *
 * @throws {KnownError} KAFKA_UNREACHABLE; REGISTRY_UNREACHABLE, also when it has no schema though records were written with some: it is loading
 */
export async function findInstallation(where: Where): Promise<Installation> {
  return withSession(where, ({ admin, registry }) => find(where.prefix, admin, registry));
}

async function find(prefix: string, admin: Admin, registry: Registry): Promise<Installation> {
  const planned = new Set([...allTopics.map(({ name }) => prefix + name), ...deadLettered.map(({ name }) => `${prefix}${name}.dlq`)]);
  const existing = (await admin.listTopics()).filter((name) => name.startsWith(prefix));
  const topics = existing.filter((name) => planned.has(name)).sort();
  const ids = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(prefix));
  const own = ids.filter((id) => ownGroup.test(id.slice(prefix.length))).sort();
  const described = own.length === 0 ? [] : (await admin.describeGroups(own)).groups;
  const members = new Map(described.map((group) => [group.groupId, group.members.length]));
  const subjects = await findSubjects(prefix, admin, registry, topics);
  return {
    topics,
    groups: own.map((id) => ({ id, members: members.get(id) ?? 0 })),
    transactionalIds: await transactionalIds(prefix, admin, topics),
    subjects,
    foreign: [...existing.filter((name) => !planned.has(name)), ...ids.filter((id) => !own.includes(id))].sort(),
  };
}

async function findSubjects(prefix: string, admin: Admin, registry: Registry, existing: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    allTopics.map((topic) => subjectOf(prefix, topic)).map(async (subject) => ((await registry.hasSubject(subject)) ? [subject] : [])),
  );
  const marker = prefix + catalog.name;
  if (found.flat().length === 0 && existing.includes(marker) && (await admin.fetchTopicOffsets(marker)).some(({ low, high }) => low !== high)) {
    throw new KnownError(
      "REGISTRY_UNREACHABLE",
      `the schema registry at ${registry.url} has not loaded its schemas yet, or lost them: it has none of ${prefix}`,
      {
        fix: `wait until it has; if they are gone for good, delete the topic ${marker} and try again. Nothing was removed`,
      },
    );
  }
  return found.flat().sort();
}

async function transactionalIds(prefix: string, admin: Admin, existing: readonly string[]): Promise<string[]> {
  const inputs = Object.entries(taskInputs).filter(([, input]) => existing.includes(prefix + input));
  if (inputs.length === 0) return [];
  const { topics } = await admin.fetchTopicMetadata({ topics: [...new Set(inputs.map(([, input]) => prefix + input))] });
  const counts = new Map(topics.map(({ name, partitions }) => [name, partitions.length]));
  return inputs.flatMap(([role, input]) => Array.from({ length: counts.get(prefix + input) ?? 0 }, (_, partition) => `${prefix}${role}-${partition}`));
}

/**
 * Removes what `findInstallation` finds, but for transactional ids. One thing that cannot be removed keeps nothing else from it, except that
 * the catalog goes last, and its schema only after it: as long as it is there a registry that is loading is told from one that has no schemas.
 *
 * @throws {KnownError} as `findInstallation`; CONFLICT while a process of this prefix still runs: it would write on into topics that are half gone
 */
export async function removeInstallation(where: Where): Promise<Removal> {
  return withSession(where, async ({ admin, registry }) => {
    const { topics, groups, subjects } = await find(where.prefix, admin, registry);
    const busy = groups.filter(({ members }) => members > 0);
    if (busy.length > 0) {
      throw new KnownError("CONFLICT", `roles of ${where.prefix} still run: ${busy.map(({ id, members }) => `${id} (${members})`).join(", ")}`, {
        fix: "stop every role of this prefix, wait for a session timeout (10 s), and try again; nothing was removed",
      });
    }
    const removed: string[] = [];
    const left: { name: string; reason: string }[] = [];
    const attempt = async (name: string, remove: () => Promise<unknown>) => {
      try {
        await remove();
        removed.push(name);
      } catch (error) {
        left.push({ name, reason: reasonOf(error) });
      }
    };
    const removeTopic = (topic: string) => attempt(`topic ${topic}`, () => admin.deleteTopics({ topics: [topic] }));
    const removeSubject = (subject: string) => attempt(`subject ${subject}`, () => registry.deleteSubject(subject));
    const [lastTopic, lastSubject] = [where.prefix + catalog.name, subjectOf(where.prefix, catalog)];
    for (const { id } of groups) await attempt(`group ${id}`, () => admin.deleteGroups([id]));
    for (const topic of topics.filter((name) => name !== lastTopic)) await removeTopic(topic);
    for (const subject of subjects.filter((name) => name !== lastSubject)) await removeSubject(subject);
    if (topics.includes(lastTopic)) await removeTopic(lastTopic);
    if (left.some(({ name }) => name === `topic ${lastTopic}`)) left.push({ name: `subject ${lastSubject}`, reason: `the topic ${lastTopic} is still there` });
    else if (subjects.includes(lastSubject)) await removeSubject(lastSubject);
    return { removed, left };
  });
}

/** kafkajs hides the reason of a group that it could not delete one level down. */
function reasonOf(error: unknown): string {
  const groups = error instanceof Error && "groups" in error && Array.isArray(error.groups) ? (error.groups as { error?: Error }[]) : [];
  const cause = groups[0]?.error ?? error;
  return cause instanceof Error ? cause.message : String(cause);
}
