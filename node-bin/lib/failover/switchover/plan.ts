import { createHash } from "node:crypto";
import * as v from "valibot";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import type { NodeConfig } from "#contract/node-config.ts";
import { type OperationPlan, operationOfPurpose, SwitchoverInput } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Ec2 } from "../../aws/ec2.ts";
import { decideSwitchover, type PlannedNode } from "../../cluster/switchover-decision.ts";
import type { Lease } from "../../coordination/lease.ts";
import type { Topology } from "../../coordination/topology.ts";
import type { ClusterNode } from "../cluster-node.ts";
import { forcedSteps, switchoverSteps } from "./steps.ts";

/** What a plan is made from. */
export interface PlanParts {
  readonly clusterId: string;
  readonly ec2: Ec2;
  readonly topology: Topology;
  /** Observes the operation lock. */
  readonly operationLock: Lease;
  readonly nodeAt: (node: { readonly instanceId: string; readonly privateIp: string }) => ClusterNode;
  readonly sleep: (ms: number) => Promise<void>;
  /** How clients reach the primary. */
  readonly routing: NodeConfig["write_routing"];
}

/** The cluster's running instances; those whose agent does not answer say why. */
export const inspectNodes = async (parts: PlanParts, record: TopologyRecord): Promise<PlannedNode[]> => {
  const instances = await parts.ec2.describeInstances({ clusterId: parts.clusterId });
  const running = instances.flatMap(({ instanceId, privateIp, state }) =>
    state === "running" && privateIp !== undefined ? [{ instanceId, privateIp }] : [],
  );
  const inspected = await Promise.all(
    running.map(async (node): Promise<PlannedNode> => {
      const at = parts.nodeAt(node);
      return at.inspect(record.fence).then(
        (inspection) => ({ ...node, inspection }),
        (error: unknown) => ({
          ...node,
          inspection: undefined,
          error: messageOf(error),
        }),
      );
    }),
  );
  // The primary last: what a replica has executed meanwhile must not seem to be its own.
  const primary = inspected.findIndex((node) => node.instanceId === record.instance_id);
  const seen = inspected[primary];
  if (seen?.inspection) {
    const again = await parts
      .nodeAt(seen)
      .inspect(record.fence)
      .catch(() => undefined);
    if (again) inspected[primary] = { ...seen, inspection: again };
  }
  return inspected.sort((a, b) => (a.instanceId < b.instanceId ? -1 : 1));
};

/** JSON with its keys in order, so that equal plans have equal hashes. */
const stable = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );

const describe = (node: PlannedNode, record: TopologyRecord): string => {
  const mysql = node.inspection?.mysql;
  if (!mysql?.up) return `does not answer: ${node.error ?? mysql?.error ?? "no reason"}`;
  const role = node.instanceId === record.instance_id ? "primary" : "replica";
  const parts = [
    role,
    `MySQL ${mysql.version}`,
    mysql.read_only === false ? "writable" : "read-only",
    ...(mysql.replication
      ? [`${mysql.replication.lag_seconds ?? "unknown"} s behind`, `receiver ${mysql.replication.receiver}`]
      : []),
    ...(record.ackers.some((acker) => acker.instance_id === node.instanceId) ? ["acker"] : []),
    `${node.inspection?.client_sessions ?? 0} client sessions`,
  ];
  return parts.join(", ");
};

/** Looks at the cluster and says what a switchover would do. Error: `cluster-unhealthy` without a record. */
export const planSwitchover = async (
  parts: PlanParts,
  given: Readonly<Record<string, unknown>>,
  operationId: string,
): Promise<OperationPlan> => {
  const input = v.parse(SwitchoverInput, given);
  const record = await parts.topology.read();
  if (!record) throw new Failure("cluster-unhealthy", { message: "The cluster has no topology record." });
  const [nodes, lock] = await Promise.all([inspectNodes(parts, record), parts.operationLock.observe()]);
  const holder = lock.state === "held" ? operationOfPurpose(lock.item?.purpose) : undefined;
  const decision = decideSwitchover(
    {
      record,
      nodes,
      input,
      otherOperation: holder === operationId ? undefined : holder,
      routing: parts.routing,
    },
    gtid,
  );
  const steps = decision.forced ? forcedSteps : switchoverSteps;
  const { candidate } = decision;
  const decided = {
    primary: record.instance_id,
    candidate: candidate?.instanceId ?? "none",
    wait_count: record.wait_count,
    nodes: nodes.map((node) => ({
      instance_id: node.instanceId,
      role: node.instanceId === record.instance_id ? "primary" : "replica",
      version: node.inspection?.mysql.version ?? "unknown",
    })),
    parameters: {
      max_lag_seconds: input.max_lag_seconds,
      max_transaction_age_seconds: input.max_transaction_age_seconds,
      timeout_seconds: input.timeout_seconds,
      force: input.force ?? "no",
    },
    forced: decision.forced,
  };
  const listed = decision.changes ? steps.map(({ name, description }) => ({ name, description })) : [];
  const hash = createHash("sha256")
    .update(stable({ kind: "switchover", cluster: parts.clusterId, decided, steps: listed.map(({ name }) => name) }))
    .digest("hex");
  const oldest = nodes.find((node) => node.instanceId === record.instance_id)?.inspection?.oldest_transaction_seconds;
  return {
    schema: 1,
    cluster_id: parts.clusterId,
    kind: "switchover",
    hash,
    changes: decision.changes,
    node: candidate?.instanceId ?? record.instance_id,
    decided,
    observed: [
      ...nodes.map((node) => ({ what: node.instanceId, value: describe(node, record) })),
      { what: "oldest transaction on the primary", value: oldest === undefined ? "unknown" : `${oldest} s` },
      { what: "listed ackers", value: `${record.ackers.length}, ${record.wait_count} are needed` },
    ],
    refusals: [...decision.refusals],
    warnings: [...decision.warnings],
    steps: listed,
  };
};
