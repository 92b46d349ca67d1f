import * as v from "valibot";
import { ClusterId, Fence, InstanceId, IsoTime, ServerUuid } from "./names.ts";

const Bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** One data object of a backup. */
export const BackupObject = v.object({
  key: v.string(),
  size: Bytes,
  /** SHA-256 of the object's bytes, lower-case hex; checked at restore. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});
export type BackupObject = v.InferOutput<typeof BackupObject>;

const common = {
  schema: v.literal(1),
  cluster_id: ClusterId,
  /** The time part of the key: when the copy was begun. */
  time: v.string(),
  engine: v.picklist(["clone", "xtrabackup"]),
  engine_version: v.string(),
  server_version: v.string(),
  server_uuid: ServerUuid,
  instance_id: InstanceId,
  /** Executed set of the copied data. */
  gtid_set: v.string(),
  timeline: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Fence of the formation that the data descend from. */
  formation: Fence,
  lower_case_table_names: v.picklist([0, 1, 2]),
  /** `innodb_page_size`, bytes. */
  page_size: v.pipe(v.number(), v.integer()),
  /** Key id of the encryption of the objects, when they are encrypted with one. */
  key_id: v.optional(v.string()),
  started_at: IsoTime,
  finished_at: IsoTime,
  /** Size of the files before packing, bytes. */
  data_bytes: Bytes,
  /** How the objects' concatenation is packed. */
  packing: v.picklist(["tar+zstd", "xbstream+zstd"]),
  /** In the order in which their bytes follow each other. */
  objects: v.array(BackupObject),
};

/** A backup exists when its manifest does; the manifest is written last. */
export const BackupManifest = v.variant("kind", [
  v.object({ kind: v.literal("full"), ...common }),
  v.object({
    kind: v.literal("incremental"),
    ...common,
    /** Time part of the key of the backup that this one builds on. */
    parent: v.string(),
    from_lsn: v.pipe(v.string(), v.regex(/^\d+$/)),
    to_lsn: v.pipe(v.string(), v.regex(/^\d+$/)),
  }),
]);
export type BackupManifest = v.InferOutput<typeof BackupManifest>;

/**
 * Stands at the place of a manifest whose backup was given up, so that a writer who lost its lock and did not notice cannot
 * complete it while its objects are being removed.
 */
export const AbandonedBackup = v.object({
  schema: v.literal(1),
  abandoned: v.literal(true),
  cluster_id: ClusterId,
  time: v.string(),
  abandoned_at: IsoTime,
  /** Who removed the leftovers. */
  instance_id: InstanceId,
});
export type AbandonedBackup = v.InferOutput<typeof AbandonedBackup>;
