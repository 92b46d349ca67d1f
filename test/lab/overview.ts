import { newestBackup } from "#actions/lib/aws/backups.ts";
import type { AwsClients } from "#actions/lib/aws/clients.ts";
import { topologyRecord } from "#actions/lib/aws/records.ts";
import { type SeenTarget, targetsOf } from "#actions/lib/aws/targets.ts";
import type { NodeStatus } from "#contract/agent-api.ts";
import { messageOf } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import { type TopologyRecord, waitCountFor } from "#contract/topology.ts";
import type { ClusterResources } from "./cloud/index.ts";
import type { LabNode } from "./controls.ts";

/** Membership in a target group as the balancer sees it. */
export type TargetWord = SeenTarget["state"];

/** One node of the overview. */
export interface NodeView {
  readonly name: string;
  readonly instanceId: string;
  readonly address: string;
  readonly zone: string;
  readonly lifecycle: string;
  /** `on`, `off`, `stopped`, or EC2's state when that is not `running`. */
  readonly machine: string;
  readonly role: "primary" | "replica" | "unknown";
  readonly mysql: "writable" | "read-only" | "down" | "unknown";
  readonly lagSeconds: number | null;
  readonly writeTarget: TargetWord;
  readonly readTarget: TargetWord;
  readonly acker: boolean;
  /** `serves writes`, `serves reads`, or why it does neither. */
  readonly agent: string;
  readonly problems: readonly string[];
}

/** The lab at one moment. */
export interface Overview {
  readonly lab: number;
  readonly clusterId: string;
  readonly observedAt: string;
  /** Empty when the cluster is as it should be. */
  readonly missing: readonly string[];
  readonly record: {
    readonly phase: string;
    readonly fence: number;
    readonly timeline: number;
    readonly primary: string;
    readonly ackers: readonly string[];
    readonly waitCount: number;
    readonly degraded: boolean;
    readonly reason: string;
  } | null;
  readonly nodes: readonly NodeView[];
  readonly lastBackup: {
    readonly kind: string;
    readonly time: string;
    readonly finishedAt: string;
    readonly bytes: number;
  } | null;
}

/** What the overview is read from. */
export interface OverviewSources {
  readonly lab: number;
  readonly cluster: Pick<
    ClusterResources,
    "clusterId" | "nodes" | "tableName" | "bucket" | "writeTargetGroupArn" | "readTargetGroupArn"
  >;
  readonly clients: Pick<AwsClients, "dynamodb" | "s3" | "loadBalancing">;
  nodes(): Promise<readonly LabNode[]>;
  /** What the agent answers; rejects when it does not. */
  agentStatus(address: string, signal: AbortSignal): Promise<NodeStatus>;
}

/** Everything that was read at one moment. */
export interface Seen {
  readonly nodes: readonly { readonly node: LabNode; readonly agent: NodeStatus | string }[];
  readonly record: TopologyRecord | undefined;
  readonly writeTargets: readonly SeenTarget[];
  readonly readTargets: readonly SeenTarget[];
  readonly lastBackup: Overview["lastBackup"];
}

/** Reads and judges the lab. A part that cannot be read is named in `missing`. */
export async function readOverview(sources: OverviewSources, signal: AbortSignal): Promise<Overview> {
  const { cluster, clients } = sources;
  const unread: string[] = [];
  const attempt = async <T>(what: string, otherwise: T, read: () => Promise<T>): Promise<T> =>
    read().catch((error: unknown) => {
      unread.push(`${what}: ${messageOf(error)}`);
      return otherwise;
    });
  const at = { clusterId: cluster.clusterId, table: cluster.tableName };
  const [nodes, record, writeTargets, readTargets] = await Promise.all([
    attempt("nodes", [], async () =>
      Promise.all(
        (await sources.nodes()).map(async (node) => ({
          node,
          agent: await sources.agentStatus(node.address, signal).catch(messageOf),
        })),
      ),
    ),
    attempt("topology record", undefined, () => topologyRecord(clients, at, signal)),
    attempt("write group", [], async () => (await targetsOf(clients, cluster.writeTargetGroupArn, signal)) ?? []),
    attempt("read group", [], async () => (await targetsOf(clients, cluster.readTargetGroupArn, signal)) ?? []),
  ]);
  const lastBackup = await attempt("backups", null, async () => {
    const where = { bucket: cluster.bucket, clusterId: cluster.clusterId, formation: record?.formation };
    const { manifest } = await newestBackup(clients, where, signal);
    if (manifest === undefined) return null;
    const bytes = manifest.objects.reduce((sum, { size }) => sum + size, 0);
    return { kind: manifest.kind, time: manifest.time, finishedAt: manifest.finished_at, bytes };
  });
  const seen = { nodes, record, writeTargets, readTargets, lastBackup };
  return { ...judged(sources.lab, cluster, seen, unread), observedAt: new Date().toISOString() };
}

/** The overview of what was seen, and what keeps the cluster from being as it should. */
export function judged(
  lab: number,
  cluster: Pick<ClusterResources, "clusterId" | "nodes">,
  seen: Seen,
  unread: readonly string[],
): Omit<Overview, "observedAt"> {
  const { record } = seen;
  const nameOf = (instanceId: string): string =>
    seen.nodes.find(({ node }) => node.instanceId === instanceId)?.node.name ?? instanceId;
  const nodes = seen.nodes.map(({ node, agent }) => nodeView(node, agent, seen));
  return {
    lab,
    clusterId: cluster.clusterId,
    missing: [...unread, ...missingFrom(cluster.nodes, seen, nodes)],
    record:
      record === undefined
        ? null
        : {
            phase: record.phase,
            fence: record.fence,
            timeline: record.timeline,
            primary: nameOf(record.instance_id),
            ackers: record.ackers.map(({ instance_id }) => nameOf(instance_id)),
            waitCount: record.wait_count,
            degraded: record.degraded !== undefined,
            reason: record.reason,
          },
    nodes,
    lastBackup: seen.lastBackup,
  };
}

function nodeView(node: LabNode, agent: NodeStatus | string, seen: Seen): NodeView {
  const status = typeof agent === "string" ? undefined : agent;
  const target = (targets: readonly SeenTarget[]): TargetWord =>
    targets.find(({ id }) => id === node.instanceId || id === node.address)?.state ?? "out";
  const { record } = seen;
  const role = record === undefined ? "unknown" : record.instance_id === node.instanceId ? "primary" : "replica";
  return {
    name: node.name,
    instanceId: node.instanceId,
    address: node.address,
    zone: node.zone,
    lifecycle: node.lifecycle ?? "no group",
    machine: node.state === "running" ? node.power : node.state,
    role,
    mysql: mysqlWord(status),
    lagSeconds: status?.mysql.replication?.lag_seconds ?? null,
    writeTarget: target(seen.writeTargets),
    readTarget: target(seen.readTargets),
    acker: record?.ackers.some(({ instance_id }) => instance_id === node.instanceId) ?? false,
    agent: agentWord(node, agent),
    problems: status?.problems ?? [],
  };
}

function mysqlWord(status: NodeStatus | undefined): NodeView["mysql"] {
  if (status === undefined) return "unknown";
  if (!status.mysql.up) return "down";
  if (status.mysql.super_read_only === undefined) return "unknown";
  return status.mysql.super_read_only || status.mysql.read_only ? "read-only" : "writable";
}

function agentWord(node: LabNode, agent: NodeStatus | string): string {
  if (node.power !== "on") return `machine ${node.power}`;
  if (typeof agent !== "string") {
    if (agent.serves_writes.ok) return "serves writes";
    if (agent.serves_reads.ok) return "serves reads";
    return agent.role === "primary" ? agent.serves_writes.because : agent.serves_reads.because;
  }
  if (node.units[units.agent] === "active") return "does not answer";
  return `bootstrap ${node.units[units.bootstrap] ?? "unknown"}`;
}

function missingFrom(configured: number, seen: Seen, all: readonly NodeView[]): string[] {
  const { record } = seen;
  const missing: string[] = [];
  // One that is being terminated is on its way out, however long its hook holds it.
  const nodes = all.filter(({ lifecycle }) => !lifecycle.startsWith("Terminating"));
  if (nodes.length !== configured) missing.push(`${configured} nodes are configured and ${nodes.length} are there`);
  if (record === undefined) missing.push("no topology record yet");
  else if (record.phase !== "serving") missing.push(`the cluster is still ${record.phase}`);
  const waitCount = waitCountFor(configured);
  if (record !== undefined && record.ackers.length < waitCount) {
    missing.push(`${waitCount} ackers are wanted and ${record.ackers.length} are listed`);
  }
  if (record?.degraded !== undefined) missing.push("the cluster is degraded");
  if (record !== undefined && !nodes.some(({ role }) => role === "primary")) {
    missing.push(`the recorded primary ${record.instance_id} is not there`);
  }
  for (const node of nodes) {
    const isPrimary = node.role === "primary";
    const wanted = isPrimary ? "serves writes" : "serves reads";
    if (node.agent !== wanted) missing.push(`${node.name}: ${node.agent}`);
    if (node.lifecycle !== "InService") missing.push(`${node.name}: ${node.lifecycle}`);
    const group = isPrimary ? "write" : "read";
    const state = isPrimary ? node.writeTarget : node.readTarget;
    if (state !== "in") missing.push(`${node.name}: ${state} in the ${group} group`);
  }
  return [...missing, ...strayWriters(seen)];
}

/** Targets of the write group besides the primary, where mysqld itself is the target. */
function strayWriters({ nodes, record, writeTargets }: Seen): string[] {
  return writeTargets
    .filter(({ id, port, state }) => port === ports.mysql && id !== record?.instance_id && state !== "draining")
    .map(({ id, state }) => {
      const name = nodes.find(({ node }) => node.instanceId === id)?.node.name ?? id;
      return `${name}: ${state} in the write group, and not the primary`;
    });
}
