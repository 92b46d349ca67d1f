import { shortened } from "#actions/lib/text.ts";
import type { NodeStatus } from "#contract/agent-api.ts";
import { count as countGtids } from "#contract/gtid.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { errantOf } from "../errant.ts";
import { answering, critical, type Finder, finding, isJoining, isLeaving, list, primaryOf, warning } from "./view.ts";

/** Nodes that gave no status. Those on their way in or out of the group are expected to. */
export const unreachable: Finder = (view) =>
  view.snapshot.nodes.flatMap((seen, index) => {
    const node = view.nodes[index];
    if (node === undefined || seen.reading.answered || isJoining(seen) || isLeaving(seen)) return [];
    const isPrimary = node.role === "primary";
    const takesWrites = node.write_target === "in";
    return [
      finding(
        isPrimary && !takesWrites ? "critical" : "warning",
        "node-unreachable",
        [node.instance_id],
        `${node.instance_id} gave no status: ${seen.reading.why}.`,
        isPrimary && !takesWrites
          ? "It is the recorded primary, and the load balancer does not reach it either: clients cannot write until it is back or a replica is promoted."
          : "Nothing is known of its data from here. Look at the instance, at its SSM agent and at its network; the other findings do not cover it.",
      ),
    ];
  });

/** Replicas whose mysqld does not answer; for the primary see `primaryNotWritable`. */
export const mysqldDown: Finder = (view) =>
  (view.snapshot.record?.phase === "serving" ? answering(view) : [])
    .filter(
      ({ seen, node, status }) => !status.mysql.up && !isJoining(seen) && !isLeaving(seen) && node.role !== "primary",
    )
    .map(({ node, status }) =>
      warning(
        "mysqld-down",
        [node.instance_id],
        `mysqld of ${node.instance_id} does not answer${status.mysql.error ? `: ${status.mysql.error}` : ""}.`,
        "It is out of the read group and acknowledges nothing. Look at mysqld's error log and at the units mysql and percona-agent on that node; it rejoins by itself once mysqld is up.",
      ),
    );

/** Fewer nodes in service than configured. */
export const missingNodes: Finder = ({ snapshot }) => {
  const { configuredNodes, nodes, record } = snapshot;
  if (configuredNodes === undefined || record?.phase !== "serving") return [];
  const grouped = nodes.some((node) => node.lifecycle !== undefined);
  const inService = nodes.filter((node) =>
    grouped ? node.lifecycle === "InService" : node.instance.state === "running",
  ).length;
  if (inService >= configuredNodes) return [];
  const joining = nodes.filter(isJoining).map((node) => node.instance.instance_id);
  return [
    warning(
      "missing-nodes",
      joining,
      `${inService} of ${configuredNodes} configured nodes are in service${joining.length > 0 ? `; ${list(joining)} is joining` : ""}.`,
      "The cluster survives fewer failures than it was built for. The Auto Scaling group launches replacements, which restore the newest backup and join by themselves; when none comes, look at the group's activity history.",
    ),
  ];
};

/** Replicas with transactions that the primary does not have. */
export const errant: Finder = (view) => {
  const primary = primaryOf(view);
  if (primary === undefined) return [];
  return answering(view).flatMap(({ seen, node }) => {
    const found = node.role === "replica" ? errantOf(seen.reading, primary.seen.reading) : undefined;
    if (!found?.proven) return [];
    return [
      critical(
        "errant-transactions",
        [node.instance_id],
        `${node.instance_id} has ${countGtids(found.gtids)} transactions that the primary does not have: ${shortened(found.gtids, 300)}.`,
        "Its data differ from the primary's: after a promotion of it the others could not follow. Keep it out of service, look at the transactions in its binlog, then have it reseeded from a backup.",
      ),
    ];
  });
};

/** Replicas that do not follow the recorded primary. */
export const replication: Finder = (view) => {
  const { record } = view.snapshot;
  if (record?.phase !== "serving") return [];
  const primary = primaryOf(view)?.seen.reading;
  const primaryUp = primary?.answered === true && primary.status.mysql.up;
  return answering(view).flatMap(({ seen, node, status }) => {
    if (node.role !== "replica" || node.writable === true || !status.mysql.up) return [];
    if (isJoining(seen) || isLeaving(seen)) return [];
    const broken = brokenReplication(status, record, primaryUp);
    if (broken === undefined) return [];
    return [
      warning(
        "replication-broken",
        [node.instance_id],
        `${node.instance_id}: ${broken}.`,
        "It falls behind, is out of the read group and acknowledges nothing. Its agent repairs what it can; with an error of the applier, look at the transaction that MySQL names before anything else.",
      ),
    ];
  });
};

const brokenReplication = (status: NodeStatus, record: TopologyRecord, primaryUp: boolean): string | undefined => {
  const { replication: state } = status.mysql;
  if (state === undefined) return "it does not replicate";
  if (state.source_host !== record.private_ip) {
    return `it replicates from ${state.source_host}, the primary is ${record.private_ip}`;
  }
  if (state.applier === "no") return `its applier stands: ${state.applier_error ?? "no error given"}`;
  if (state.receiver === "no") return `its receiver stands: ${state.receiver_error ?? "no error given"}`;
  if (state.receiver === "connecting" && primaryUp) {
    return `its receiver cannot connect to the primary: ${state.receiver_error ?? "no error given"}`;
  }
  return undefined;
};
