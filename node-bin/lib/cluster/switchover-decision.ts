import type { Inspection } from "#contract/agent-api.ts";
import type { FailureReason } from "#contract/failure-reasons.ts";
import type { Refusal, SwitchoverInput } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { GtidSets } from "./ackers.ts";

/** GTID arithmetic that a plan needs beyond that of the ackers. */
export interface PlanGtidSets extends GtidSets {
  subtract(a: string, b: string): string;
  isEmpty(set: string): boolean;
  /** Without what this server began itself. */
  ofOthers(set: string, serverUuid: string): string;
}

/** A node as the plan sees it. */
export interface PlannedNode {
  readonly instanceId: string;
  readonly privateIp: string;
  /** Undefined when its agent did not answer. */
  readonly inspection: Inspection | undefined;
  readonly error?: string;
}

/** Everything that a plan of a switchover depends on. */
export interface SwitchoverView {
  readonly record: TopologyRecord;
  readonly nodes: readonly PlannedNode[];
  readonly input: SwitchoverInput;
  /** The operation that holds the lock, when it is another one. */
  readonly otherOperation: string | undefined;
  /** How clients reach the primary. */
  readonly routing: "forward" | "registration";
}

/** What would be done. */
export interface SwitchoverDecision {
  readonly changes: boolean;
  readonly primary: string;
  /** Undefined when nobody can be the next primary. */
  readonly candidate: PlannedNode | undefined;
  /** The primary does not answer, and a person accepts the loss. */
  readonly forced: boolean;
  readonly refusals: readonly Refusal[];
  readonly warnings: readonly string[];
}

const refusal = (reason: FailureReason, message: string): Refusal => ({ reason, message });

/** `8.4` of `8.4.6-2`, as a number that can be compared: 804. */
const series = (version: string | undefined): number | undefined => {
  const found = /^(\d+)\.(\d+)/.exec(version ?? "");
  return found ? Number(found[1]) * 100 + Number(found[2]) : undefined;
};

/** Force is for a primary that does not answer; with one that does, the switchover is an ordinary one. */
const isForced = ({ input, nodes, record }: SwitchoverView): boolean =>
  input.force !== undefined &&
  nodes.find(({ instanceId }) => instanceId === record.instance_id)?.inspection?.mysql.up !== true;

const problemsOf = (node: PlannedNode, view: SwitchoverView, gtid: PlanGtidSets): Refusal[] => {
  const { input, nodes, record } = view;
  const forced = isForced(view);
  const mysql = node.inspection?.mysql;
  const name = node.instanceId;
  if (!mysql?.up) {
    return [refusal("node-unreachable", `${name} does not answer: ${node.error ?? mysql?.error ?? "no reason"}.`)];
  }
  const found: Refusal[] = [];
  const primary = nodes.find(({ instanceId }) => instanceId === record.instance_id)?.inspection?.mysql;
  const replication = mysql.replication;
  if (!forced) {
    if (
      !replication ||
      replication.source_host !== record.private_ip ||
      replication.receiver !== "yes" ||
      replication.applier !== "yes"
    ) {
      const why = replication
        ? `source ${replication.source_host}, receiver ${replication.receiver}, applier ${replication.applier}${replication.applier_error ? `: ${replication.applier_error}` : ""}${replication.receiver_error ? `: ${replication.receiver_error}` : ""}`
        : "it does not replicate";
      found.push(refusal("replication-broken", `${name} does not follow the primary: ${why}.`));
    } else if (replication.lag_seconds === undefined || replication.lag_seconds > input.max_lag_seconds) {
      found.push(
        refusal(
          "lag-too-high",
          `${name} is ${replication.lag_seconds === undefined ? "an unknown time" : `${replication.lag_seconds} s`} behind; ${input.max_lag_seconds} s are allowed.`,
        ),
      );
    }
  }
  if (primary?.up && primary.gtid_executed !== undefined) {
    const errant = gtid.ofOthers(gtid.subtract(mysql.gtid_executed ?? "", primary.gtid_executed), record.server_uuid);
    if (!gtid.isEmpty(errant)) {
      found.push(refusal("errant-transactions", `${name} has ${errant}, which the primary does not have.`));
    }
  }
  const mine = series(mysql.version);
  const older = nodes.filter((other) => {
    const theirs = series(other.inspection?.mysql.version);
    return other !== node && mine !== undefined && theirs !== undefined && theirs < mine;
  });
  if (older.length > 0) {
    found.push(
      refusal(
        "version-not-allowed",
        `${name} runs ${mysql.version}, and ${older.map((o) => `${o.instanceId} runs ${o.inspection?.mysql.version}`).join(", ")}: a server cannot replicate from a newer series.`,
      ),
    );
  }
  return found;
};

const isListed = (node: PlannedNode, record: TopologyRecord): boolean =>
  record.ackers.some(
    (acker) => acker.instance_id === node.instanceId && acker.incarnation === node.inspection?.mysql.incarnation,
  );

/** The replica that is best to be primary next: without problems, listed, least behind; the lowest id among equals. */
const best = (view: SwitchoverView, gtid: PlanGtidSets): PlannedNode | undefined => {
  const { record } = view;
  const replicas = view.nodes.filter(({ instanceId }) => instanceId !== record.instance_id);
  const rank = (node: PlannedNode): [number, number, number, string] => [
    problemsOf(node, view, gtid).length,
    isListed(node, record) ? 0 : 1,
    node.inspection?.mysql.replication?.lag_seconds ?? 1e9,
    node.instanceId,
  ];
  const withRank = replicas.map((node) => ({ node, rank: rank(node) }));
  withRank.sort((a, b) => {
    for (const [i, x] of a.rank.entries()) {
      const y = b.rank[i] as typeof x;
      if (x !== y) return x < y ? -1 : 1;
    }
    return 0;
  });
  if (isForced(view)) {
    // Whoever has most loses least.
    const holds = (node: PlannedNode): string =>
      gtid.union(
        node.inspection?.mysql.gtid_executed ?? "",
        node.inspection?.mysql.replication?.received_gtid_set ?? "",
      );
    const up = withRank.map(({ node }) => node).filter((node) => node.inspection?.mysql.up);
    const most = up.find((node) => up.every((other) => gtid.contains(holds(node), holds(other))));
    if (most) return most;
  }
  return withRank[0]?.node;
};

/** Decides what a switchover would do, and why it would be refused. */
export const decideSwitchover = (view: SwitchoverView, gtid: PlanGtidSets): SwitchoverDecision => {
  const { input, nodes, otherOperation, record } = view;
  const refusals: Refusal[] = [];
  const warnings: string[] = [];
  const primary = nodes.find(({ instanceId }) => instanceId === record.instance_id);
  const primaryUp = primary?.inspection?.mysql.up === true;
  const forced = isForced(view);
  const none = { primary: record.instance_id, forced, warnings };
  if (input.expected_primary !== undefined && input.expected_primary !== record.instance_id) {
    refusals.push(
      refusal("unexpected-primary", `${record.instance_id} is the primary, not ${input.expected_primary} as expected.`),
    );
  }
  if (input.target === record.instance_id) return { ...none, changes: false, candidate: primary, refusals };
  const candidate =
    input.target === undefined ? best(view, gtid) : nodes.find(({ instanceId }) => instanceId === input.target);
  if (input.target !== undefined && !candidate) {
    refusals.push(
      refusal(
        "instance-not-in-cluster",
        `${input.target} is not a running node of cluster ${record.pk.replace(/^topology-/, "")}.`,
      ),
    );
    return { ...none, changes: true, candidate: undefined, refusals };
  }
  if (record.phase !== "serving") refusals.push(refusal("cluster-unhealthy", "The cluster is still forming."));
  if (otherOperation !== undefined) {
    refusals.push(refusal("operation-in-progress", `The operation ${otherOperation} holds the operation lock.`));
  }
  if (!primaryUp && input.force === undefined) {
    refusals.push(
      refusal(
        "node-unreachable",
        `The primary ${record.instance_id} does not answer (${primary?.error ?? primary?.inspection?.mysql.error ?? "it is gone"}). A dead primary is replaced without a switchover; when too few nodes are left for that, force it with accept-loss.`,
      ),
    );
  }
  if (!candidate) {
    refusals.push(refusal("no-safe-candidate", "There is no replica."));
    return { ...none, changes: true, candidate, refusals };
  }
  refusals.push(...problemsOf(candidate, view, gtid));
  const age = primary?.inspection?.oldest_transaction_seconds ?? 0;
  if (primaryUp && age > input.max_transaction_age_seconds) {
    refusals.push(
      refusal(
        "long-transactions",
        `A transaction on the primary is ${age} s old; ${input.max_transaction_age_seconds} s are allowed. It would be ended by the switchover.`,
      ),
    );
  }
  const others = nodes.filter(
    ({ inspection, ...node }) =>
      node.instanceId !== candidate.instanceId &&
      node.instanceId !== primary?.instanceId &&
      inspection?.mysql.up === true &&
      inspection.mysql.replication?.applier_errno === undefined,
  );
  const afterwards = others.length + (primaryUp ? 1 : 0);
  if (!forced && afterwards < record.wait_count) {
    refusals.push(
      refusal("too-few-ackers", `${afterwards} nodes could acknowledge afterwards; ${record.wait_count} have to.`),
    );
  } else if (primaryUp && others.length < record.wait_count) {
    warnings.push(
      `Only ${others.length} other replicas answer; commits wait until the old primary follows, which takes some seconds.`,
    );
  }
  if (view.routing === "registration") {
    warnings.push(
      "Clients of the load balancer wait longer than this says: with write_routing = registration the new primary is put into the write group when it is open, and gets connections when its health checks have passed.",
    );
  }
  if (forced) {
    const has = (node: PlannedNode): string =>
      gtid.union(
        node.inspection?.mysql.gtid_executed ?? "",
        node.inspection?.mysql.replication?.received_gtid_set ?? "",
      ) || "nothing";
    const missing = record.ackers.filter(
      (acker) =>
        !nodes.some(
          (node) => node.instanceId === acker.instance_id && node.inspection?.mysql.up && isListed(node, record),
        ),
    );
    warnings.push(
      `Acknowledged transactions may be lost: everything after ${has(candidate)}, which is all that ${candidate.instanceId} has.`,
      missing.length > 0
        ? `They could still be had from ${[...missing.map((acker) => acker.instance_id), record.instance_id].join(" or ")}: keep their volumes.`
        : `They could still be had from ${record.instance_id}: keep its volume.`,
      `Unless ${record.wait_count} other replicas follow at once, the record is set to degraded: until ${record.wait_count} ackers are listed commits wait for nobody, and no automatic promotion takes place.`,
    );
  }
  return { ...none, changes: true, candidate, refusals, warnings };
};
