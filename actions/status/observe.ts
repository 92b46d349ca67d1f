import * as v from "valibot";
import type { NewestBackup } from "#actions/lib/aws/backups.ts";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { SeenTarget } from "#actions/lib/aws/targets.ts";
import type { Clock } from "#actions/lib/clock.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { NodeStatus } from "#contract/agent-api.ts";
import { messageOf } from "#contract/failure-reasons.ts";
import { count as countGtids } from "#contract/gtid.ts";
import type { LeaseItem } from "#contract/lease.ts";
import { tableName } from "#contract/names.ts";
import type { OperationRecord } from "#contract/operation.ts";
import { tags } from "#contract/tags.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { errantOf, primarySeenAfter } from "./errant.ts";
import type { ClusterSnapshot, NodeReading, SeenNode } from "./snapshot.ts";

/** Where a status comes from. All of them only read. */
export interface StatusSources {
  lifecycleStates(instanceIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Undefined when there is no such group. */
  targets(groupArn: string): Promise<readonly SeenTarget[] | undefined>;
  record(table: string): Promise<TopologyRecord | undefined>;
  operationLock(table: string): Promise<LeaseItem | undefined>;
  operations(table: string): Promise<readonly OperationRecord[]>;
  newestBackup(bucket: string, formation: number | undefined): Promise<NewestBackup>;
  /** Has the node run the `status` document. */
  ask(instanceId: string): Promise<NodeAnswer>;
}

/** What `observe` needs besides the sources. */
export interface ObserveOptions {
  readonly clock: Clock;
  readonly wallClock: () => Date;
  readonly signal: AbortSignal;
  /** One line for each thing that was seen. */
  readonly log: (line: string) => void;
}

/** How often the whole is read again because the topology record changed meanwhile. */
const rounds = 3;
/** How often the primary is read again to tell an errant transaction from a view of the primary that is too old. */
const primaryReads = 5;

/**
 * Reads one cluster from all sides. What takes part in a change of primary is read between two equal readings of the topology
 * record, so that a switchover under way does not look like two primaries.
 */
export async function observe(
  clusterId: string,
  instances: readonly SeenInstance[],
  sources: StatusSources,
  options: ObserveOptions,
): Promise<ClusterSnapshot> {
  const table = firstTag(instances, tags.dynamodbTable) ?? tableName(clusterId);
  for (let round = 1; ; round++) {
    const before = await sources.record(table);
    const snapshot = await observeOnce(clusterId, table, before, instances, sources, options);
    const after = await sources.record(table);
    const settled = before?.rvn === after?.rvn;
    if (settled || round === rounds) return { ...snapshot, settled };
    options.log(`${clusterId}: the topology record changed while the nodes were read; reading again`);
  }
}

async function observeOnce(
  clusterId: string,
  table: string,
  record: TopologyRecord | undefined,
  instances: readonly SeenInstance[],
  sources: StatusSources,
  options: ObserveOptions,
): Promise<Omit<ClusterSnapshot, "settled">> {
  const bucket = firstTag(instances, tags.s3Bucket);
  const noBucket: NewestBackup = { unreadable: [`No instance carries the tag ${tags.s3Bucket}.`] };
  const [lifecycles, writeTargets, readTargets, operationLock, operations, backup, readings] = await Promise.all([
    sources.lifecycleStates(instances.map((instance) => instance.instance_id)),
    targetsByTag(instances, tags.writeTargetGroupArn, sources),
    targetsByTag(instances, tags.readTargetGroupArn, sources),
    sources.operationLock(table),
    sources.operations(table),
    bucket === undefined ? noBucket : sources.newestBackup(bucket, record?.formation),
    readNodes(clusterId, instances, record?.instance_id, sources, options),
  ]);
  const configured = Number(firstTag(instances, tags.instanceCount));
  return {
    clusterId,
    observedAt: options.wallClock().toISOString(),
    configuredNodes: Number.isInteger(configured) && configured > 0 ? configured : undefined,
    nodes: instances.map(
      (instance): SeenNode => ({
        instance,
        lifecycle: lifecycles.get(instance.instance_id),
        reading: readings.get(instance.instance_id) ?? { answered: false, why: "it was not asked" },
      }),
    ),
    record,
    operationLock,
    operations,
    writeTargets,
    readTargets,
    backup,
  };
}

async function targetsByTag(
  instances: readonly SeenInstance[],
  tag: string,
  sources: StatusSources,
): Promise<readonly SeenTarget[]> {
  const arn = firstTag(instances, tag);
  return arn === undefined ? [] : ((await sources.targets(arn)) ?? []);
}

/** All nodes at the same time; then the primary again while a replica seems to have more than it. */
async function readNodes(
  clusterId: string,
  instances: readonly SeenInstance[],
  primaryId: string | undefined,
  sources: StatusSources,
  options: ObserveOptions,
): Promise<Map<string, NodeReading>> {
  const { clock, signal } = options;
  const read = (instance: SeenInstance): Promise<NodeReading> => readNode(clusterId, instance, sources, options);
  const readings = new Map(
    await Promise.all(instances.map(async (instance) => [instance.instance_id, await read(instance)] as const)),
  );
  const primary = instances.find((instance) => instance.instance_id === primaryId);
  if (primary === undefined) return readings;
  for (let reads = 1; reads < primaryReads; reads++) {
    const age = unprovenFor(readings, primary.instance_id);
    if (age === undefined) break;
    await clock.sleep(age, signal);
    readings.set(primary.instance_id, await read(primary));
  }
  return readings;
}

/** Milliseconds to wait before the primary is read again; undefined when nothing hangs on it. */
function unprovenFor(readings: ReadonlyMap<string, NodeReading>, primaryId: string): number | undefined {
  const primary = readings.get(primaryId);
  if (!primary?.answered) return undefined;
  const unproven = [...readings.values()].filter(
    (reading): reading is Extract<NodeReading, { answered: true }> =>
      reading !== primary && reading.answered && errantOf(reading, primary)?.proven === false,
  );
  if (unproven.length === 0) return undefined;
  // By as much as its view was too old, it must be younger next time; at most the age that the agent's view may have.
  const short = Math.max(...unproven.map((replica) => -primarySeenAfter(replica, primary)));
  return Math.min(Math.max(short, 50), 2000);
}

async function readNode(
  clusterId: string,
  instance: SeenInstance,
  sources: StatusSources,
  { clock, log }: ObserveOptions,
): Promise<NodeReading> {
  const id = instance.instance_id;
  if (instance.state !== "running") return { answered: false, why: `EC2 says that it is ${instance.state}` };
  const askedAt = clock.now();
  const answer = await sources.ask(id);
  const answeredAt = clock.now();
  const reading = readingOf(clusterId, id, answer, askedAt, answeredAt);
  const seconds = ((answeredAt - askedAt) / 1000).toFixed(1);
  log(`${clusterId}: ${id} ${reading.answered ? "answered" : `gave no status: ${reading.why}`} (${seconds} s)`);
  return reading;
}

/** A node's answer, checked: it comes from another machine. */
export function readingOf(
  clusterId: string,
  instanceId: string,
  answer: NodeAnswer,
  askedAt: number,
  answeredAt: number,
): NodeReading {
  if (!answer.ok) return { answered: false, why: answer.detail };
  const result = v.safeParse(NodeStatus, answer.json);
  if (!result.success) {
    const [issue] = result.issues;
    const where = v.getDotPath(issue);
    return {
      answered: false,
      why: `its answer is not a status: ${where === null ? "" : `${where}: `}${issue.message}`,
    };
  }
  const status = result.output;
  if (status.cluster_id !== clusterId || status.instance_id !== instanceId) {
    return { answered: false, why: `it answered as ${status.instance_id} of cluster ${status.cluster_id}` };
  }
  try {
    countGtids(status.mysql.gtid_executed ?? "");
  } catch (error) {
    return { answered: false, why: messageOf(error) };
  }
  return { answered: true, status, askedAt, answeredAt };
}

const firstTag = (instances: readonly SeenInstance[], tag: string): string | undefined =>
  instances.map((instance) => instance.tags[tag]).find((value) => value !== undefined && value !== "");
