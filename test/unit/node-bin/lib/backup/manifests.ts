import type { BackupManifest } from "#contract/backup-manifest.ts";

export const manifestOf = (time: string, changed: Partial<BackupManifest> = {}): BackupManifest =>
  ({
    schema: 1,
    kind: "full",
    cluster_id: "demo",
    time,
    engine: "clone",
    engine_version: "9.7.4",
    server_version: "9.7.4",
    server_uuid: "00000000-0000-0000-0000-000000000001",
    instance_id: "i-0123456789abcdef0",
    gtid_set: "00000000-0000-0000-0000-000000000001:1-10",
    timeline: 1,
    formation: 3,
    lower_case_table_names: 0,
    page_size: 16384,
    started_at: "2026-11-21T00:17:05.000Z",
    finished_at: "2026-11-21T00:18:05.000Z",
    data_bytes: 100,
    packing: "tar+zstd",
    objects: [],
    ...changed,
  }) as BackupManifest;
