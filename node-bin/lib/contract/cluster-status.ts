import * as v from "valibot";
import { ClusterId, InstanceId, IsoTime } from "./names.ts";

/** Disagreements between the places that say who is primary, and what is wrong with a node. */
export const DisagreementKind = v.picklist([
  "two-writable-nodes",
  "record-names-another-primary",
  "no-primary",
  "primary-not-writable",
  "errant-transactions",
  "dead-raft-peer",
  "replication-broken",
  "node-unreachable",
  "mysqld-down",
  "missing-nodes",
  "wrong-role-tag",
  "wrong-target-group",
  "too-few-ackers",
  "degraded",
  "no-backup",
]);
export type DisagreementKind = v.InferOutput<typeof DisagreementKind>;

/** One disagreement with its meaning. */
export const Disagreement = v.object({
  kind: DisagreementKind,
  severity: v.picklist(["critical", "warning"]),
  instance_ids: v.array(InstanceId),
  /** What was seen. */
  seen: v.string(),
  /** What it means and what to do. */
  meaning: v.string(),
});
export type Disagreement = v.InferOutput<typeof Disagreement>;

/** Membership in a target group as the load balancer sees it. */
export const TargetState = v.picklist(["in", "out", "unhealthy", "initial", "draining"]);

/** One node in the status. */
export const StatusNode = v.object({
  instance_id: InstanceId,
  private_ip: v.string(),
  availability_zone: v.string(),
  lifecycle_state: v.string(),
  role: v.picklist(["primary", "replica", "unknown"]),
  role_tag: v.optional(v.string()),
  version: v.optional(v.string()),
  writable: v.optional(v.boolean()),
  lag_seconds: v.optional(v.number()),
  gtid_executed: v.optional(v.string()),
  write_target: TargetState,
  read_target: TargetState,
  acker: v.boolean(),
  reachable: v.boolean(),
  problems: v.array(v.string()),
});
export type StatusNode = v.InferOutput<typeof StatusNode>;

/** What the status action puts out for one cluster. */
export const ClusterStatus = v.object({
  schema: v.literal(1),
  cluster_id: ClusterId,
  observed_at: IsoTime,
  /** `healthy`: nothing to do. `degraded`: works, with warnings. `critical`: a person is needed. */
  verdict: v.picklist(["healthy", "degraded", "critical", "forming"]),
  primary_instance_id: v.optional(InstanceId),
  fence: v.optional(v.number()),
  timeline: v.optional(v.number()),
  phase: v.optional(v.picklist(["forming", "serving"])),
  nodes: v.array(StatusNode),
  last_backup: v.optional(
    v.object({ time: v.string(), kind: v.string(), finished_at: IsoTime, bytes: v.number(), gtid_set: v.string() }),
  ),
  /** Id and kind of the operation under way; `NONE` when idle. */
  current_operation: v.string(),
  disagreements: v.array(Disagreement),
});
export type ClusterStatus = v.InferOutput<typeof ClusterStatus>;
