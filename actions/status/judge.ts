import type { SeenTarget } from "#actions/lib/aws/targets.ts";
import type { ClusterStatus, StatusNode } from "#contract/cluster-status.ts";
import { tags } from "#contract/tags.ts";
import { findDisagreements } from "./findings/index.ts";
import { type ClusterView, isJoining, isLeaving } from "./findings/view.ts";
import type { ClusterSnapshot, SeenNode } from "./snapshot.ts";

/** A view of mysqld that is older says nothing about now, milliseconds. */
const staleAfterMs = 15_000;

/** What a snapshot means: who is primary, how each node does, what disagrees, and whether a person is needed. */
export function judge(snapshot: ClusterSnapshot): ClusterStatus {
  const { record } = snapshot;
  const nodes = snapshot.nodes.map((node) => statusNode(node, snapshot));
  const view: ClusterView = { snapshot, nodes };
  const disagreements = findDisagreements(view);
  const manifest = snapshot.backup.manifest;
  return {
    schema: 1,
    cluster_id: snapshot.clusterId,
    observed_at: snapshot.observedAt,
    verdict: verdictOf(view, disagreements),
    ...(record && {
      primary_instance_id: record.instance_id,
      fence: record.fence,
      timeline: record.timeline,
      phase: record.phase,
    }),
    nodes,
    ...(manifest && {
      last_backup: {
        time: manifest.time,
        kind: manifest.kind,
        finished_at: manifest.finished_at,
        bytes: manifest.objects.reduce((sum, object) => sum + object.size, 0),
        gtid_set: manifest.gtid_set,
      },
    }),
    current_operation: currentOperation(snapshot),
    disagreements,
  };
}

function verdictOf(
  { snapshot, nodes }: ClusterView,
  disagreements: ClusterStatus["disagreements"],
): ClusterStatus["verdict"] {
  if (disagreements.some(({ severity }) => severity === "critical")) return "critical";
  if (snapshot.record?.phase !== "serving") return "forming";
  if (disagreements.length > 0 || nodes.some((node) => node.problems.length > 0)) return "degraded";
  return "healthy";
}

function statusNode(node: SeenNode, snapshot: ClusterSnapshot): StatusNode {
  const { instance, reading } = node;
  const { record } = snapshot;
  const id = instance.instance_id;
  const mysql = reading.answered ? reading.status.mysql : undefined;
  const tag = instance.tags[tags.role];
  const role = record === undefined ? "unknown" : record.instance_id === id ? "primary" : "replica";
  const lag = role === "replica" ? mysql?.replication?.lag_seconds : undefined;
  return {
    instance_id: id,
    private_ip: instance.private_ip,
    availability_zone: instance.availability_zone,
    lifecycle_state: node.lifecycle ?? (instance.state === "running" ? "no group" : instance.state),
    role,
    ...(tag !== undefined && { role_tag: tag }),
    ...(mysql?.version !== undefined && { version: mysql.version }),
    ...(mysql?.up === true && mysql.read_only !== undefined && { writable: !mysql.read_only }),
    ...(lag !== undefined && { lag_seconds: lag }),
    ...(mysql?.gtid_executed !== undefined && { gtid_executed: mysql.gtid_executed.replaceAll(/\s/g, "") }),
    write_target: targetState(instance, snapshot.writeTargets),
    read_target: targetState(instance, snapshot.readTargets),
    acker: record?.ackers.some((acker) => acker.instance_id === id) ?? false,
    reachable: reading.answered,
    problems: problemsOf(node),
  };
}

function problemsOf(node: SeenNode): string[] {
  const { reading } = node;
  if (isJoining(node)) return [];
  if (isLeaving(node)) return [`it is leaving the group (${node.lifecycle})`];
  if (!reading.answered) return [`no status: ${reading.why}`];
  const { mysql, problems } = reading.status;
  if (!mysql.up || mysql.seen_ms_ago <= staleAfterMs) return problems;
  return [...problems, `its agent last saw mysqld ${Math.round(mysql.seen_ms_ago / 1000)} s ago`];
}

function targetState(instance: SeenNode["instance"], targets: readonly SeenTarget[]): StatusNode["write_target"] {
  const target = targets.find(({ id }) => id === instance.instance_id || id === instance.private_ip);
  return target?.state ?? "out";
}

function currentOperation({ operations, operationLock }: ClusterSnapshot): string {
  const [operation] = operations;
  if (operation !== undefined) return `${operation.operation_id} (${operation.kind}, ${operation.state})`;
  // The lock is taken before the record says "running", and kept after: its purpose tells what for.
  if (operationLock?.owner !== undefined) {
    return `${operationLock.purpose ?? "unnamed"} (lock held by ${operationLock.owner})`;
  }
  return "NONE";
}
