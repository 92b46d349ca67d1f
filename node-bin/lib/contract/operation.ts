import * as v from "valibot";
import { FailureReasonName } from "./failure-reasons.ts";
import { ClusterId, Fence, InstanceId, IsoTime } from "./names.ts";

/** An operation id: chosen by the caller, by default made from the workflow run. It becomes part of a key. */
export const OperationId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/));

/** What an operation does. */
export const OperationKind = v.picklist([
  "switchover",
  "failover",
  "restore",
  "verification",
  "backup",
  "upgrade",
  "grow",
  "shrink",
]);
export type OperationKind = v.InferOutput<typeof OperationKind>;

/** One step of the plan, and what became of it. */
export const OperationStep = v.object({
  name: v.string(),
  description: v.string(),
  state: v.picklist(["pending", "running", "done", "failed", "undone", "skipped"]),
  started_at: v.optional(IsoTime),
  duration_ms: v.optional(v.pipe(v.number(), v.minValue(0))),
  detail: v.optional(v.string()),
});

/** The record of one asked-for change; created with a conditional put before anything starts. */
export const OperationRecord = v.object({
  pk: v.string(),
  operation_id: OperationId,
  cluster_id: ClusterId,
  kind: OperationKind,
  input: v.record(v.string(), v.unknown()),
  /** The plan as JSON text, or the S3 key where the long one lies. */
  plan: v.optional(v.string()),
  plan_hash: v.optional(v.string()),
  state: v.picklist(["created", "running", "succeeded", "failed", "undone", "superseded", "aborted"]),
  topology_fence: v.optional(Fence),
  steps: v.array(OperationStep),
  started_by: v.string(),
  node: v.optional(InstanceId),
  created_at: IsoTime,
  heartbeat_at: v.optional(IsoTime),
  ended_at: v.optional(IsoTime),
  result: v.optional(v.record(v.string(), v.unknown())),
  failure_reason: v.optional(FailureReasonName),
  /** Epoch seconds; the only item kind that TTL removes, after it was written to S3. */
  expires_at: v.optional(v.pipe(v.number(), v.integer())),
});
export type OperationRecord = v.InferOutput<typeof OperationRecord>;

/** States in which an operation still holds the cluster. */
export const liveOperationStates = ["created", "running"] as const;
