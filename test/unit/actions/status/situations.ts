import type { SeenTarget } from "#actions/lib/aws/targets.ts";
import type { ClusterSnapshot, NodeReading, SeenNode } from "#actions/status/snapshot.ts";
import type { MysqlStatus, NodeStatus, ReplicationStatus } from "#contract/agent-api.ts";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import type { TopologyRecord } from "#contract/topology.ts";

/** Three nodes of a cluster in which all is well; situations are made from it by changing what they are about. */
export const [A, B, C] = ["i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c"] as const;
export type NodeId = typeof A | typeof B | typeof C;

export const ipOf = { [A]: "10.0.1.11", [B]: "10.0.2.12", [C]: "10.0.3.13" } as const;
const zoneOf = { [A]: "eu-west-1a", [B]: "eu-west-1b", [C]: "eu-west-1c" } as const;
export const uuidOf = {
  [A]: "aaaaaaaa-0000-0000-0000-000000000001",
  [B]: "bbbbbbbb-0000-0000-0000-000000000002",
  [C]: "cccccccc-0000-0000-0000-000000000003",
} as const;

export const record: TopologyRecord = {
  pk: "topology-orders",
  kind: "async",
  phase: "serving",
  instance_id: A,
  private_ip: ipOf[A],
  server_uuid: uuidOf[A],
  fence: 7,
  formation: 1,
  timeline: 2,
  branch_gtid_set: "",
  ackers: [
    { instance_id: B, incarnation: "b-1" },
    { instance_id: C, incarnation: "c-1" },
  ],
  wait_count: 1,
  rvn: "rvn-1",
  updated_at: "2026-11-21T10:00:00Z",
  reason: "the cluster was formed",
};

export const manifest: BackupManifest = {
  schema: 1,
  kind: "full",
  cluster_id: "orders",
  time: "2026-11-21T00-17-05Z",
  engine: "clone",
  engine_version: "9.7.4",
  server_version: "9.7.4",
  server_uuid: uuidOf[A],
  instance_id: A,
  gtid_set: `${uuidOf[A]}:1-50`,
  timeline: 2,
  formation: 1,
  lower_case_table_names: 0,
  page_size: 16_384,
  started_at: "2026-11-21T00:17:05Z",
  finished_at: "2026-11-21T00:19:05Z",
  data_bytes: 5_000_000_000,
  packing: "tar+zstd",
  objects: [
    { key: "orders/full/2026-11-21T00-17-05Z/data-000001.tar.zst", size: 3 * 1024 ** 3, sha256: "0".repeat(64) },
  ],
};

const replication = (id: NodeId): ReplicationStatus => ({
  source_host: ipOf[A],
  source_uuid: uuidOf[A],
  receiver: "yes",
  applier: "yes",
  auto_position: true,
  received_gtid_set: `${uuidOf[A]}:1-${id === B ? 100 : 99}`,
  lag_seconds: 0,
});

const mysql = (id: NodeId): MysqlStatus => ({
  up: true,
  seen_ms_ago: 200,
  version: "9.7.4",
  server_uuid: uuidOf[id],
  server_id: 101,
  read_only: id !== A,
  super_read_only: id !== A,
  gtid_executed: `${uuidOf[A]}:1-100`,
  ...(id === A
    ? { semi_sync: { source_enabled: true, replica_enabled: false, wait_count: 1, clients: 2 } }
    : { replication: replication(id) }),
});

export const nodeStatus = (id: NodeId): NodeStatus => ({
  schema: 1,
  cluster_id: "orders",
  instance_id: id,
  private_ip: ipOf[id],
  availability_zone: zoneOf[id],
  agent_version: "0.1.0",
  role: id === A ? "primary" : "replica",
  mysql: mysql(id),
  highest_fence: 7,
  serves_writes: id === A ? { ok: true, because: "it is the primary" } : { ok: false, because: `${A} is the primary` },
  serves_reads: id === A ? { ok: false, because: "it is the primary" } : { ok: true, because: "it is 0 s behind" },
  problems: [],
});

/** Asked at 1,000 ms, answered at 1,500 ms of the runner's clock. */
export const answered = (status: NodeStatus, askedAt = 1000, answeredAt = 1500): NodeReading => ({
  answered: true,
  status,
  askedAt,
  answeredAt,
});

export const seenNode = (id: NodeId): SeenNode => ({
  instance: {
    instance_id: id,
    private_ip: ipOf[id],
    availability_zone: zoneOf[id],
    state: "running",
    tags: { cluster_id: "orders", mysql_role: id === A ? "master" : "replica" },
  },
  lifecycle: "InService",
  reading: answered(nodeStatus(id)),
});

export const target = (id: string, state: SeenTarget["state"] = "in", port = 3306): SeenTarget => ({ id, port, state });

export const healthy: ClusterSnapshot = {
  clusterId: "orders",
  observedAt: "2026-11-21T12:00:00.000Z",
  settled: true,
  configuredNodes: 3,
  nodes: [seenNode(A), seenNode(B), seenNode(C)],
  record,
  operationLock: undefined,
  operations: [],
  writeTargets: [target(A)],
  readTargets: [target(B), target(C)],
  backup: { manifest, unreadable: [] },
};

/** The snapshot with one node changed. */
export const withNode = (
  snapshot: ClusterSnapshot,
  id: NodeId,
  change: (node: SeenNode) => SeenNode,
): ClusterSnapshot => ({
  ...snapshot,
  nodes: snapshot.nodes.map((node) => (node.instance.instance_id === id ? change(node) : node)),
});

/** The snapshot with one node's own status changed. */
export const withStatus = (
  snapshot: ClusterSnapshot,
  id: NodeId,
  change: (status: NodeStatus) => NodeStatus,
): ClusterSnapshot =>
  withNode(snapshot, id, (node) =>
    node.reading.answered ? { ...node, reading: { ...node.reading, status: change(node.reading.status) } } : node,
  );

/** The snapshot with one node's mysqld changed. */
export const withMysql = (snapshot: ClusterSnapshot, id: NodeId, change: Partial<MysqlStatus>): ClusterSnapshot =>
  withStatus(snapshot, id, (status) => ({ ...status, mysql: { ...status.mysql, ...change } }));

/** The snapshot with one node that gave no status. */
export const withSilent = (snapshot: ClusterSnapshot, id: NodeId, why = "no answer within 35 s"): ClusterSnapshot =>
  withNode(snapshot, id, (node) => ({ ...node, reading: { answered: false, why } }));
