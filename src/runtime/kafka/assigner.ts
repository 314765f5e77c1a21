import { AssignerProtocol, type PartitionAssigner } from "kafkajs";
import { ASSIGNER, ASSIGNER_VERSION } from "../tasks/group-id.ts";

const { MemberAssignment, MemberMetadata } = AssignerProtocol;

/**
 * Which member owns which partitions: dealt round the sorted member ids, so that counts differ by one at most and every
 * member computes the same.
 */
export function dealPartitions(members: readonly string[], partitions: number): Map<string, number[]> {
  const sorted = [...members].sort();
  const dealt = new Map<string, number[]>(sorted.map((member) => [member, []]));
  for (let p = 0; p < partitions; p++) dealt.get(sorted[p % sorted.length] ?? "")?.push(p);
  return dealt;
}

/**
 * Gives partition p of *all* topics to the same member (kafkajs's round robin tears them apart). Its name is part of the
 * group's protocol: members with another assigner are refused by the broker.
 *
 * @param partitions common partition count of all topics; the largest when they differ (only for readers without tasks)
 */
export function copartitioned(partitionsOf: (topic: string) => number): PartitionAssigner {
  const name = ASSIGNER;
  return () => ({
    name,
    version: ASSIGNER_VERSION,
    async assign({ members, topics }) {
      const counts = new Map(topics.map((topic) => [topic, partitionsOf(topic)]));
      const dealt = dealPartitions(
        members.map((member) => member.memberId),
        Math.max(0, ...counts.values()),
      );
      return [...dealt].map(([memberId, partitions]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: 1,
          assignment: Object.fromEntries([...counts].map(([topic, count]) => [topic, partitions.filter((p) => p < count)])),
          userData: Buffer.alloc(0),
        }),
      }));
    },
    protocol: ({ topics }) => ({ name, metadata: MemberMetadata.encode({ version: 1, topics, userData: Buffer.alloc(0) }) }),
  });
}
