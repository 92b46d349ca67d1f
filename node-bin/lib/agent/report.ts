import { type FailoverResult, isLive } from "#contract/operation.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import type { Timeline } from "#contract/timeline.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { AgentContext } from "./context.ts";

/** How an unplanned promotion is called, by its fence. */
export const failoverId = (fence: number): string => `failover-${fence}`;

const isFailover = (record: TopologyRecord): boolean => record.operation_id?.startsWith("failover-") === true;

/** The audit's description of the branch of history that the promotion began. */
const keepTimeline = async (context: AgentContext, record: TopologyRecord): Promise<void> => {
  const { bucket, config, state } = context;
  if (state.keptTimeline >= record.timeline) return;
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
  const key = s3Keys.timeline(config.cluster_id, record.timeline);
  await bucket.putOnce(key, `${JSON.stringify(timeline, undefined, 2)}\n`);
  state.keptTimeline = record.timeline;
};

/**
 * The successor of an unplanned promotion writes its operation's record and tells the topic, however the attempt's own process
 * ended; and the timeline that began with it. What was written already is left as it is.
 */
export const reportPromotion = async (context: AgentContext): Promise<void> => {
  const { config, identity, journal, log, notify, state } = context;
  const { record } = state;
  const open = state.mysql.up && state.mysql.read_only === false && state.mysql.super_read_only === false;
  if (!record || record.instance_id !== identity.instanceId || !open) return;
  await keepTimeline(context, record);
  const id = record.operation_id;
  if (!isFailover(record) || id === undefined || state.reportedFence === record.fence) return;
  const fence = Number(id.slice("failover-".length));
  const now = new Date().toISOString();
  const old = state.peers?.find((peer) => peer.instanceId === record.failover_from);
  const result: FailoverResult = {
    before: {
      instance_id: record.failover_from ?? record.instance_id,
      private_ip: old?.privateIp ?? "unknown",
      fence: Math.max(0, fence - 1),
    },
    after: { instance_id: record.instance_id, private_ip: record.private_ip, fence },
    because: record.reason,
    took_ms: state.outageMs ?? 0,
    gtid_set: record.branch_gtid_set,
  };
  const created = await journal.create({
    operation_id: id,
    cluster_id: config.cluster_id,
    kind: "failover",
    input: {},
    state: "running",
    topology_fence: fence,
    steps: [],
    started_by: `agent of ${identity.instanceId}`,
    node: identity.instanceId,
    created_at: record.updated_at,
    attempt: 1,
    result,
  });
  const current = created.written ? created.record : created.current;
  if (!current || !isLive(current)) {
    state.reportedFence = record.fence;
    return;
  }
  await notify?.(`${config.cluster_id}: ${record.instance_id} replaced ${result.before.instance_id}`, {
    cluster_id: config.cluster_id,
    operation_id: id,
    ...result,
  });
  const ended = await journal.replace(current, { state: "succeeded", ended_at: now });
  if (ended.written) await journal.keep(ended.record);
  state.reportedFence = record.fence;
  log.info(`reported ${id}`);
};
