import { type FailoverResult, isLive } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { keepTimeline } from "../coordination/timelines.ts";
import type { AgentContext } from "./context.ts";
import { isOpenPrimary } from "./state.ts";

/** How an unplanned promotion is called, by its fence. */
export const failoverId = (fence: number): string => `failover-${fence}`;

const isFailover = (record: TopologyRecord): boolean => record.operation_id?.startsWith("failover-") === true;

/**
 * The successor of an unplanned promotion writes its operation's record and tells the topic, however the attempt's own process
 * ended; and the timeline that began with it. What was written already is left as it is.
 */
export const reportPromotion = async (context: AgentContext): Promise<void> => {
  const { bucket, config, identity, journal, log, notify, state } = context;
  const { record } = state;
  if (!record || !isOpenPrimary(context)) return;
  if (state.keptTimeline < record.timeline) {
    await keepTimeline(bucket, config.cluster_id, record);
    state.keptTimeline = record.timeline;
  }
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
