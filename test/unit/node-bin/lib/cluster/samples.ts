import type { BackupManifest } from "#contract/backup-manifest.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Marker } from "#node/lib/cluster/data-directory.ts";

/** Instance ids of a three-node cluster. */
export const [n1, n2, n3] = ["i-00000000000000001", "i-00000000000000002", "i-00000000000000003"] as const;
export const uuid1 = "11111111-1111-1111-1111-111111111111";

/** A serving cluster led by n1, without ackers. */
export const record = (change: Partial<TopologyRecord> = {}): TopologyRecord => ({
  pk: "topology-c1",
  kind: "async",
  phase: "serving",
  instance_id: n1,
  private_ip: "127.0.11.4",
  server_uuid: uuid1,
  fence: 5,
  formation: 3,
  timeline: 1,
  branch_gtid_set: "",
  ackers: [],
  wait_count: 1,
  rvn: "rvn-1",
  updated_at: "2026-11-21T00:00:00.000Z",
  reason: "test",
  ...change,
});

/** A marker of data that descend from the recorded formation. */
export const marker = (change: Partial<Marker> = {}): Marker => ({
  schema: 1,
  cluster_id: "c1",
  origin: "restored",
  formation: 3,
  completed_at: "2026-11-21T00:00:00.000Z",
  ...change,
});

/** A full backup of the recorded formation. */
export const manifest: BackupManifest = {
  schema: 1,
  kind: "full",
  cluster_id: "c1",
  time: "2026-11-21T00-17-05Z",
  engine: "clone",
  engine_version: "1",
  server_version: "9.7.4",
  server_uuid: uuid1,
  instance_id: n1,
  gtid_set: `${uuid1}:1-10`,
  timeline: 1,
  formation: 3,
  lower_case_table_names: 0,
  page_size: 16384,
  started_at: "2026-11-21T00:17:05.000Z",
  finished_at: "2026-11-21T00:17:09.000Z",
  data_bytes: 1000,
  packing: "tar+zstd",
  objects: [],
};
