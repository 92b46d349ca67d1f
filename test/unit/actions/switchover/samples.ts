import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { OperationPlan, OperationRecord, SwitchoverResult } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { A, B, C, ipOf, type NodeId, seenNode, record as topology } from "../status/situations.ts";

/** A cluster `orders` with the primary A and the replicas B and C, and a switchover to B. */
export { A, B, C, ipOf, topology };

export const instances: readonly SeenInstance[] = [A, B, C].map((id: NodeId) => seenNode(id).instance);

export const hash = "a".repeat(64);

export const plan: OperationPlan = {
  schema: 1,
  cluster_id: "orders",
  kind: "switchover",
  hash,
  changes: true,
  node: B,
  decided: {
    cluster_id: "orders",
    primary: A,
    candidate: B,
    nodes: [A, B, C].map((id) => ({
      instance_id: id,
      role: id === A ? "primary" : "replica",
      version: "9.7.4",
    })),
    parameters: { max_lag_seconds: 10, max_transaction_age_seconds: 60, timeout_seconds: 60 },
  },
  observed: [
    { what: B, value: "replica, MySQL 9.7.4, read-only, 0 s behind, receiver yes, acker, 0 client sessions" },
    { what: "listed ackers", value: "2, 1 are needed" },
  ],
  refusals: [],
  warnings: [],
  steps: [
    { name: "drain", description: "lets running transactions end" },
    { name: "demote", description: "makes the old primary read-only" },
    { name: "record", description: "records the new primary" },
  ],
};

export const result: SwitchoverResult = {
  changed: true,
  before: { instance_id: A, private_ip: ipOf[A], fence: 7 },
  after: { instance_id: B, private_ip: ipOf[B], fence: 8 },
  writes_refused_ms: 43,
  probe_errors: 2,
  sessions_ended: 8,
};

export const topologyAfter: TopologyRecord = {
  ...topology,
  instance_id: B,
  private_ip: ipOf[B],
  fence: 8,
  rvn: "rvn-2",
  operation_id: "op-1",
};

/** The record as the action creates it. */
export const created: OperationRecord = {
  pk: "operation-orders-op-1",
  operation_id: "op-1",
  cluster_id: "orders",
  kind: "switchover",
  input: { max_lag_seconds: 10, max_transaction_age_seconds: 60, timeout_seconds: 60 },
  plan: JSON.stringify(plan),
  plan_hash: hash,
  state: "created",
  steps: plan.steps.map((step) => ({ ...step, state: "pending" })),
  started_by: "https://github.example/o/r/actions/runs/7 by octocat",
  node: B,
  created_at: "2026-11-21T12:00:00.000Z",
  attempt: 1,
  rvn: "rvn-created",
};

/** The record while its `n`-th step, from 0, is running. */
export const inStep = (n: number): OperationRecord => ({
  ...created,
  state: "running",
  rvn: `rvn-step-${n}`,
  heartbeat_at: "2026-11-21T12:00:01.000Z",
  steps: created.steps.map((step, at) => {
    if (at < n) return { ...step, state: "done", duration_ms: 10 + at };
    return at === n ? { ...step, state: "running" } : step;
  }),
});

export const succeeded: OperationRecord = {
  ...inStep(plan.steps.length),
  state: "succeeded",
  rvn: "rvn-ended",
  ended_at: "2026-11-21T12:00:02.000Z",
  result: { ...result },
};

export const undone: OperationRecord = {
  ...inStep(1),
  state: "undone",
  rvn: "rvn-undone",
  ended_at: "2026-11-21T12:00:02.000Z",
  failure_reason: "lag-too-high",
  failure_message: `${B} was 90 s behind, 10 s are allowed. Nothing was changed. Wait for it.`,
};
