import * as v from "valibot";
import { FailureReasonName } from "./failure-reasons.ts";
import { ClusterId, Fence, InstanceId, IsoTime } from "./names.ts";

/** An operation id: chosen by the caller, by default made from the workflow run. It becomes part of a key and of a unit's name. */
export const OperationId = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
    "an operation id has at most 100 letters, digits, dots, underscores and hyphens, and begins with a letter or digit",
  ),
);

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
export type OperationStep = v.InferOutput<typeof OperationStep>;

/** States of an operation. `created` and `running` are live; after every other one the same id may be run again. */
export const OperationState = v.picklist([
  "created",
  "running",
  /** The end state was read back and is the one that was asked for. */
  "succeeded",
  /** It failed after the point of no return, or could not be undone; the reconcilers go on repairing. */
  "failed",
  /** It failed before the point of no return, and what it had done was undone. */
  "undone",
  /** Another node was recorded under a higher fence meanwhile; it changed nothing more. */
  "superseded",
  /** A person asked it to end before its point of no return; what it had done was undone. */
  "aborted",
]);
export type OperationState = v.InferOutput<typeof OperationState>;

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
  state: OperationState,
  /** Fence of the topology record when it began, or the one recorded under its own id. */
  topology_fence: v.optional(Fence),
  steps: v.array(OperationStep),
  /** Who asked for it, for people: a workflow run's address, or `agent of i-…`. */
  started_by: v.string(),
  /** The node that runs it, or is to run it. */
  node: v.optional(InstanceId),
  created_at: IsoTime,
  /** How often it was begun: 1 the first time, one more each time the same id is run again after it ended. */
  attempt: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 1),
  heartbeat_at: v.optional(IsoTime),
  ended_at: v.optional(IsoTime),
  /** A person asked for its end; it is looked at before every step up to the point of no return. */
  abort_requested_at: v.optional(IsoTime),
  /** Who asked for its end. */
  abort_requested_by: v.optional(v.string()),
  result: v.optional(v.record(v.string(), v.unknown())),
  failure_reason: v.optional(FailureReasonName),
  /** What was seen, whether anything was changed, and what to do next, in words for people. */
  failure_message: v.optional(v.string()),
  /** A new random value with every write; every write but the first is conditional on it. */
  rvn: v.string(),
  /** Epoch seconds; the only item kind that TTL removes, after it was written to S3. */
  expires_at: v.optional(v.pipe(v.number(), v.integer())),
});
export type OperationRecord = v.InferOutput<typeof OperationRecord>;

/** States in which an operation still holds the cluster. */
export const liveOperationStates = ["created", "running"] as const;

/** Whether an operation has not ended. */
export const isLive = (record: { readonly state: OperationState }): boolean =>
  record.state === "created" || record.state === "running";

/** One reason why a plan cannot be applied now. */
export const Refusal = v.object({ reason: FailureReasonName, message: v.string() });
export type Refusal = v.InferOutput<typeof Refusal>;

/**
 * What an operation would do, as `operation plan …` prints it. `hash` covers `decided` and the steps' names and nothing that
 * changes by itself every second; that is in `observed`, is a precondition, and is looked at again at apply.
 */
export const OperationPlan = v.object({
  schema: v.literal(1),
  cluster_id: ClusterId,
  kind: OperationKind,
  /** SHA-256 in lower-case hex. */
  hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Whether applying it changes anything; false when all is as asked for already. */
  changes: v.boolean(),
  /** The node that is to run it. */
  node: InstanceId,
  /** Cluster, nodes with roles and versions, and parameters. */
  decided: v.record(v.string(), v.unknown()),
  /** What was seen, for people: label and value. */
  observed: v.array(v.object({ what: v.string(), value: v.string() })),
  /** Why it would be refused now; empty when it may be applied. */
  refusals: v.array(Refusal),
  /** What the person who approves it must know, such as which writes may be lost and where they might still be. */
  warnings: v.array(v.string()),
  steps: v.array(v.object({ name: v.string(), description: v.string() })),
});
export type OperationPlan = v.InferOutput<typeof OperationPlan>;

/** What a plan puts into the record of an operation that has not begun. */
export const plannedContent = (plan: OperationPlan) =>
  ({
    plan: JSON.stringify(plan),
    plan_hash: plan.hash,
    state: "created",
    steps: plan.steps.map((step) => ({ ...step, state: "pending" as const })),
    node: plan.node,
  }) satisfies Partial<OperationRecord>;

const Seconds = (least: number, most: number) => v.pipe(v.number(), v.minValue(least), v.maxValue(most));

/** What a switchover is asked for; the record's `input`. */
export const SwitchoverInput = v.object({
  /** The next primary; the best candidate when absent. */
  target: v.optional(InstanceId),
  /** Refused when another node is the primary. */
  expected_primary: v.optional(InstanceId),
  /** Refused when the plan made at apply has another hash. */
  expected_plan_hash: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
  /** The candidate may be this far behind when it begins, seconds. */
  max_lag_seconds: v.optional(Seconds(0, 3600), 10),
  /** Transactions of the primary may be this old when it begins, seconds; they are ended by the switchover. */
  max_transaction_age_seconds: v.optional(Seconds(0, 86_400), 60),
  /** How long the whole may take up to the point of no return, seconds. */
  timeout_seconds: v.optional(Seconds(5, 3600), 60),
  /** Promotes without the safe-promotion check; acknowledged transactions may be lost. */
  force: v.optional(v.literal("accept-loss")),
});
export type SwitchoverInput = v.InferOutput<typeof SwitchoverInput>;

/** What a switchover came to; the record's `result`. */
export const SwitchoverResult = v.object({
  /** False when the target was the primary already. */
  changed: v.boolean(),
  before: v.object({ instance_id: InstanceId, private_ip: v.string(), fence: Fence }),
  after: v.object({ instance_id: InstanceId, private_ip: v.string(), fence: Fence }),
  /** From the last write of the probe client that was answered before to the first after, milliseconds. */
  writes_refused_ms: v.optional(v.number()),
  /** Writes of the probe client that were answered with an error in that time. */
  probe_errors: v.optional(v.number()),
  /** Client sessions that were ended on the old primary. */
  sessions_ended: v.optional(v.number()),
  /** Events that were switched on again on the new primary. */
  events_enabled: v.optional(v.number()),
});
export type SwitchoverResult = v.InferOutput<typeof SwitchoverResult>;

/** What a failover came to; the record's `result`. */
export const FailoverResult = v.object({
  before: v.object({ instance_id: InstanceId, private_ip: v.string(), fence: Fence }),
  after: v.object({ instance_id: InstanceId, private_ip: v.string(), fence: Fence }),
  /** Why the old primary was given up. */
  because: v.string(),
  /** From when it was noticed until the successor was open, milliseconds. */
  took_ms: v.number(),
  /** The executed set that the successor had to have. */
  gtid_set: v.string(),
});
export type FailoverResult = v.InferOutput<typeof FailoverResult>;

/** What the holder of the operation lock says it is for. */
export const lockPurpose = (kind: OperationKind, operationId: string): string => `${kind} ${operationId}`;

/** The operation that a lock's purpose names; undefined when it names none. */
export const operationOfPurpose = (purpose: string | undefined): string | undefined => purpose?.split(" ")[1];
