import type { Admin } from "kafkajs";
import { allTopics, catalog } from "../../topics/index.ts";
import { Registry } from "./registry.ts";
import { subjectOf } from "./serde.ts";
import { type TopicsOptions, withSession } from "./topic-admin.ts";

/** Roles that read as groups, as groups are named. */
export const groupRoles = ["sampler", "judge", "aggregator-fold", "aggregator-window", "decider"] as const;
export type GroupRole = (typeof groupRoles)[number];

/** Whether a role works, as its group shows it. */
export interface RoleGroup {
  readonly role: GroupRole;
  /** Processes that are in it now. */
  readonly members: number;
  /** Records that it has not committed; null when it never committed or nobody is in it. */
  readonly lag: number | null;
}

/** What a cluster is like now, as far as the topics of one prefix and those who read them go. */
export interface Examination {
  readonly brokers: number;
  /** Its id, which tells clusters apart; not the controller: since KRaft brokers name any of them. */
  readonly clusterId: string;
  /** What the brokers advertise (`host:port`): every process of headgate has to reach each of these. */
  readonly addresses: readonly string[];
  /** Partitions (`topic-partition`) that nobody leads: they take and give no records. */
  readonly leaderless: readonly string[];
  /** Partitions with fewer replicas in step than they have. */
  readonly behind: readonly string[];
  readonly groups: readonly RoleGroup[];
}

/** Asks a cluster how it is; writes nothing. @throws {KnownError} KAFKA_UNREACHABLE */
export async function examine(where: Pick<TopicsOptions, "brokers" | "registryUrl" | "prefix" | "security" | "log" | "answerMs">): Promise<Examination> {
  return withSession(where, async ({ admin }) => {
    // By their names, kafkajs tells of none of them when one has no leader.
    const [{ brokers, clusterId }, { topics }, { groups }] = await Promise.all([admin.describeCluster(), admin.fetchTopicMetadata(), admin.listGroups()]);
    const own = new Set(allTopics.map(({ name }) => where.prefix + name));
    const existing = topics.filter(({ name }) => own.has(name));
    const partitions = existing.flatMap((topic) => topic.partitions.map((partition) => ({ ...partition, name: `${topic.name}-${partition.partitionId}` })));
    const ids = groups.map(({ groupId }) => groupId);
    return {
      brokers: brokers.length,
      clusterId,
      addresses: brokers.map(({ host, port }) => `${host}:${port}`).sort(),
      leaderless: partitions.filter(({ leader }) => leader < 0).map(({ name }) => name),
      behind: partitions.filter(({ isr, replicas }) => isr.length < replicas.length).map(({ name }) => name),
      groups: await Promise.all(groupRoles.map((role) => groupOf(admin, role, groupsOf(ids, where.prefix, role)))),
    };
  });
}

/** Asks a registry anything, without Kafka. @throws {KnownError} REGISTRY_UNREACHABLE */
export async function askRegistry({ registryUrl, prefix }: Pick<TopicsOptions, "registryUrl" | "prefix">): Promise<void> {
  await new Registry(registryUrl).hasSubject(subjectOf(prefix, catalog));
}

/** A role's groups: one for each list of inputs that it ever had. */
const groupsOf = (ids: readonly string[], prefix: string, role: GroupRole): string[] =>
  ids.filter((id) => id.startsWith(`${prefix}${role}.`) && /^[0-9a-f]{8}$/.test(id.slice(prefix.length + role.length + 1)));

async function groupOf(admin: Admin, role: GroupRole, ids: readonly string[]): Promise<RoleGroup> {
  if (ids.length === 0) return { role, members: 0, lag: null };
  const { groups } = await admin.describeGroups([...ids]);
  const alive = groups.find(({ members }) => members.length > 0);
  return alive === undefined ? { role, members: 0, lag: null } : { role, members: alive.members.length, lag: await lagOf(admin, alive.groupId) };
}

async function lagOf(admin: Admin, groupId: string): Promise<number | null> {
  const committed = await admin.fetchOffsets({ groupId });
  if (committed.length === 0) return null;
  const lags = await Promise.all(
    committed.map(async ({ topic, partitions }) => {
      const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]));
      return partitions.reduce((sum, { partition, offset }) => {
        const end = ends.get(partition);
        return end === undefined ? sum : sum + Math.max(0, end.high - Math.max(end.low, Number(offset)));
      }, 0);
    }),
  );
  return lags.reduce((sum, lag) => sum + lag, 0);
}
