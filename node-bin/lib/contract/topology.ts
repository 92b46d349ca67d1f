import * as v from "valibot";
import { Fence, InstanceId, IsoTime, PrivateIp, ServerUuid } from "./names.ts";

/**
 * Which life of a replica's mysqld: it changes when mysqld starts and whenever anything discards its relay log, so that a
 * replica which may have lost what it acknowledged is never counted as if it still held it.
 */
export const Incarnation = v.pipe(v.string(), v.minLength(1), v.maxLength(100));

/** A replica that may acknowledge commits. */
export const Acker = v.object({ instance_id: InstanceId, incarnation: Incarnation });
export type Acker = v.InferOutput<typeof Acker>;

/** Set while the cluster accepts writes with fewer ackers than `wait_count`. */
export const Degraded = v.object({ since: IsoTime, by: v.string(), operation_id: v.optional(v.string()) });

/**
 * The topology record: who is primary, since which fence, and why. It is the authority; MySQL, tags and target groups
 * are repaired towards it. Every write is conditional on the `rvn` that was read before the checks it rests on.
 */
export const TopologyRecord = v.object({
  pk: v.string(),
  /** `galera` is reserved. */
  kind: v.picklist(["async", "galera"]),
  /** `forming`: the first primary exists and serves nobody. `serving`: its first backup is durable and enough ackers are listed. */
  phase: v.picklist(["forming", "serving"]),
  instance_id: InstanceId,
  private_ip: PrivateIp,
  server_uuid: ServerUuid,
  /** Fence of the grant under which this primary was recorded or reopened. */
  fence: Fence,
  /** Fence of the formation that the data descend from; manifests of other formations are ignored. */
  formation: Fence,
  /** The branch of history, from 1. */
  timeline: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** The executed set at which this timeline left its parent; empty for the first. */
  branch_gtid_set: v.string(),
  ackers: v.array(Acker),
  /** Acknowledgements that a commit waits for: (configured nodes - 1) / 2. */
  wait_count: v.pipe(v.number(), v.integer(), v.minValue(0)),
  degraded: v.optional(Degraded),
  /** A new random value with every write. */
  rvn: v.string(),
  updated_at: IsoTime,
  failover_from: v.optional(InstanceId),
  reason: v.string(),
  operation_id: v.optional(v.string()),
});
export type TopologyRecord = v.InferOutput<typeof TopologyRecord>;

/** Whether the record lists this replica in this very incarnation; an earlier one of it does not count. */
export const isListed = (
  record: Pick<TopologyRecord, "ackers">,
  instanceId: string,
  incarnation: string | undefined,
): boolean => record.ackers.some((acker) => acker.instance_id === instanceId && acker.incarnation === incarnation);

/** Acknowledgements that a commit waits for in a cluster of `nodes` configured nodes. */
export const waitCountFor = (nodes: number): number => Math.floor((nodes - 1) / 2);
