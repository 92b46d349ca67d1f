import { s3Keys } from "#contract/s3-layout.ts";
import type { Timeline } from "#contract/timeline.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Bucket } from "../aws/s3.ts";

/**
 * Writes the audit's description of the branch of history that this record began; one that is there already stays. Errors: those of
 * the bucket.
 */
export const keepTimeline = async (
  bucket: Pick<Bucket, "putOnce">,
  clusterId: string,
  record: TopologyRecord,
): Promise<void> => {
  const timeline: Timeline = {
    schema: 1,
    timeline: record.timeline,
    ...(record.timeline > 1 ? { parent: record.timeline - 1 } : {}),
    branch_gtid_set: record.branch_gtid_set,
    fence: record.fence,
    instance_id: record.instance_id,
    why: record.reason,
    began_at: record.updated_at,
  };
  await bucket.putOnce(s3Keys.timeline(clusterId, record.timeline), `${JSON.stringify(timeline, undefined, 2)}\n`);
};
