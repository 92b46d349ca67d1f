import * as v from "valibot";
import { ClusterId, Fence, InstanceId, IsoTime, PrivateIp, ServerUuid } from "./names.ts";

/**
 * `errant/{instance_id}/{time}.json`: transactions that a node had and the primary of a serving cluster had not, saved for people
 * before the node was restored from a backup. It is written after the SQL beside it: SQL without it is of an attempt that did not end.
 */
export const ErrantRecord = v.object({
  schema: v.literal(1),
  cluster_id: ClusterId,
  /** The node that had them. */
  instance_id: InstanceId,
  private_ip: PrivateIp,
  /** Of the node's mysqld then; the restored one has another. */
  server_uuid: ServerUuid,
  /** All of them. */
  gtid_set: v.string(),
  /** The SQL for people to read; absent when none of them was in the node's binlogs any more. */
  sql: v.optional(
    v.object({
      key: v.string(),
      /** Bytes. */
      size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      /** Lower-case hex. */
      sha256: v.string(),
    }),
  ),
  /** Those that are not in the SQL, because the node's binlogs had them no more; what they did is in the set-aside data directory only. */
  not_in_binlogs: v.optional(v.string()),
  /** What the node had received, could not execute, and the primary has not either; it is in the set-aside relay logs only. */
  not_executed: v.optional(v.string()),
  /** Whom the node was compared with. */
  primary: v.object({
    instance_id: InstanceId,
    server_uuid: ServerUuid,
    /** Fence of the topology record. */
    fence: Fence,
    timeline: v.pipe(v.number(), v.integer(), v.minValue(1)),
    gtid_executed: v.string(),
  }),
  saved_at: IsoTime,
});
export type ErrantRecord = v.InferOutput<typeof ErrantRecord>;
