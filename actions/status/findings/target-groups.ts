import type { Disagreement } from "#contract/cluster-status.ts";
import { ports } from "#contract/ports.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { ClusterSnapshot } from "../snapshot.ts";
import {
  answering,
  type ClusterView,
  type Finder,
  finding,
  isJoining,
  isLeaving,
  list,
  pairs,
  primaryOf,
  warning,
} from "./view.ts";

/** Who is in the target groups, against who should be: with `registration` the primary for writes and the replicas for reads, with `forward` every node in both. */
export const targetGroups: Finder = (view) =>
  isForwarded(view.snapshot) ? forwardedTargets(view) : registeredTargets(view);

/** With forwarding, HAProxy on each node is the target. */
const isForwarded = ({ writeTargets, readTargets }: ClusterSnapshot): boolean =>
  writeTargets.some(({ port }) => port === ports.forwardWrite) ||
  readTargets.some(({ port }) => port === ports.forwardRead);

const forwardedTargets: Finder = (view) => {
  if (view.snapshot.record?.phase !== "serving") return [];
  const absent = pairs(view).filter(
    ({ seen, node }) => seen.lifecycle === "InService" && (node.write_target === "out" || node.read_target === "out"),
  );
  if (absent.length === 0) return [];
  const ids = absent.map(({ node }) => node.instance_id);
  return [
    warning(
      "wrong-target-group",
      ids,
      `${list(ids)} is not in both target groups; with forwarding every node is.`,
      "Fewer nodes take clients' connections. Agents register their own node; look at the log of percona-agent there.",
    ),
  ];
};

const registeredTargets: Finder = (view) => {
  const { record } = view.snapshot;
  return [...writeGroup(view, record), ...(record?.phase === "serving" ? readGroup(view) : []), ...strangers(view)];
};

const writeGroup = (view: ClusterView, record: TopologyRecord | undefined): Disagreement[] => {
  const strays = view.nodes.filter(
    (node) => node.role === "replica" && ["in", "initial", "unhealthy"].includes(node.write_target),
  );
  const found = strays.map((node) =>
    finding(
      node.write_target === "in" ? "critical" : "warning",
      "wrong-target-group",
      [node.instance_id],
      `${node.instance_id} is in the write group (${node.write_target}) and is not the primary.`,
      "Clients that reach it through the load balancer cannot write: it is read-only. Agents take it out by themselves within seconds; when it stays so, deregister it.",
    ),
  );
  const primary = primaryOf(view);
  if (record?.phase !== "serving" || primary === undefined) return found;
  const { reading } = primary.seen;
  const { write_target: state, instance_id: id } = primary.node;
  // A primary that does not serve, or does not answer, is out for that reason, and reported for it.
  if (state === "in" || !reading.answered || !reading.status.serves_writes.ok) return found;
  return [
    ...found,
    finding(
      state === "initial" ? "warning" : "critical",
      "wrong-target-group",
      [id],
      `The primary ${id} serves writes, and is "${state}" in the write group.`,
      "Clients cannot write through the load balancer, though the primary would accept it. Look at the group's health check, at the security groups, and at the log of percona-agent on the primary.",
    ),
  ];
};

const readGroup: Finder = (view) =>
  answering(view).flatMap(({ seen, node, status }) => {
    if (isJoining(seen) || isLeaving(seen)) return [];
    const state = node.read_target;
    const registered = state === "in" || state === "initial";
    if (node.role === "primary" && registered) {
      return [
        warning(
          "wrong-target-group",
          [node.instance_id],
          `The primary ${node.instance_id} is in the read group.`,
          "Clients' reads load the primary. Its agent takes it out by itself within seconds.",
        ),
      ];
    }
    if (node.role !== "replica" || status.serves_reads.ok === registered) return [];
    return [
      warning(
        "wrong-target-group",
        [node.instance_id],
        status.serves_reads.ok
          ? `${node.instance_id} serves reads, and is "${state}" in the read group.`
          : `${node.instance_id} is in the read group and does not serve reads: ${status.serves_reads.because}.`,
        status.serves_reads.ok
          ? "Clients' reads do not reach it. Look at the group's health check and at the log of percona-agent on that node."
          : "Clients may read old data from it until the load balancer's health check takes it out.",
      ),
    ];
  });

const strangers: Finder = ({ snapshot }) => {
  const known = new Set(snapshot.nodes.flatMap(({ instance }) => [instance.instance_id, instance.private_ip]));
  const foreign = [...snapshot.writeTargets, ...snapshot.readTargets].filter(
    ({ id, state }) => !known.has(id) && state !== "draining",
  );
  if (foreign.length === 0) return [];
  const ids = [...new Set(foreign.map(({ id }) => id))];
  return [
    finding(
      foreign.some(({ state }) => state === "in") ? "critical" : "warning",
      "wrong-target-group",
      [],
      `The target groups have ${list(ids)}, which is no node of this cluster.`,
      "Clients may be sent to it. Find out what it is, then deregister it.",
    ),
  ];
};
