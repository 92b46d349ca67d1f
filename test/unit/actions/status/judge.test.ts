import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { judge } from "#actions/status/judge.ts";
import type { ClusterSnapshot } from "#actions/status/snapshot.ts";
import { ClusterStatus, type DisagreementKind } from "#contract/cluster-status.ts";
import {
  A,
  answered,
  B,
  C,
  healthy,
  ipOf,
  manifest,
  nodeStatus,
  record,
  target,
  uuidOf,
  withMysql,
  withNode,
  withSilent,
  withStatus,
} from "./situations.ts";

/** What was found, as `severity kind: nodes`. */
const found = (snapshot: ClusterSnapshot): string[] =>
  judge(snapshot).disagreements.map((each) => `${each.severity} ${each.kind}: ${each.instance_ids.join(" ")}`.trim());

const writable = { read_only: false, super_read_only: false };
const closed = { read_only: true, super_read_only: true };
const gone = (snapshot: ClusterSnapshot, id: string): ClusterSnapshot => ({
  ...snapshot,
  nodes: snapshot.nodes.filter((node) => node.instance.instance_id !== id),
  writeTargets: snapshot.writeTargets.filter((each) => each.id !== id),
  readTargets: snapshot.readTargets.filter((each) => each.id !== id),
});

describe("a cluster in which all is well", () => {
  it("is healthy, and tells each node", () => {
    const status = judge(healthy);
    expect(status.disagreements).toEqual([]);
    expect(status).toMatchObject({
      verdict: "healthy",
      primary_instance_id: A,
      fence: 7,
      timeline: 2,
      phase: "serving",
      current_operation: "NONE",
      last_backup: { time: "2026-11-21T00-17-05Z", kind: "full", bytes: 3 * 1024 ** 3 },
    });
    expect(status.nodes[0]).toEqual({
      instance_id: A,
      private_ip: ipOf[A],
      availability_zone: "eu-west-1a",
      lifecycle_state: "InService",
      role: "primary",
      role_tag: "master",
      version: "9.7.4",
      writable: true,
      gtid_executed: `${uuidOf[A]}:1-100`,
      write_target: "in",
      read_target: "out",
      acker: false,
      reachable: true,
      problems: [],
    });
    expect(status.nodes[1]).toMatchObject({ role: "replica", writable: false, lag_seconds: 0, acker: true });
  });

  it("is healthy when the target groups know nodes by address", () => {
    const byAddress = { writeTargets: [target(ipOf[A])], readTargets: [target(ipOf[B]), target(ipOf[C])] };
    expect(judge({ ...healthy, ...byAddress }).verdict).toBe("healthy");
  });

  it("is healthy with forwarding, where every node is in both groups", () => {
    const forwarded = {
      writeTargets: [A, B, C].map((id) => target(id, "in", 6446)),
      readTargets: [A, B, C].map((id) => target(id, "in", 6447)),
    };
    expect(judge({ ...healthy, ...forwarded }).verdict).toBe("healthy");
  });
});

/** One situation: its name, what was read, what is found, and the verdict. */
type Situation = readonly [string, ClusterSnapshot, readonly string[], ClusterStatus["verdict"]];

const situations: readonly Situation[] = [
  ["two nodes accept writes", withMysql(healthy, B, writable), [`critical two-writable-nodes: ${A} ${B}`], "critical"],
  [
    "the record names A, and B accepts writes while A is closed",
    withStatus(withMysql(withMysql(healthy, B, writable), A, closed), A, (status) => ({
      ...status,
      serves_writes: { ok: false, because: "it is read-only" },
    })),
    [`critical record-names-another-primary: ${B} ${A}`],
    "critical",
  ],
  [
    "the record names A, which does not answer, and B accepts writes",
    { ...withSilent(withMysql(healthy, B, writable), A), writeTargets: [target(A, "unhealthy")] },
    [`critical record-names-another-primary: ${B} ${A}`, `critical node-unreachable: ${A}`],
    "critical",
  ],
  [
    "the primary is closed for writes",
    withStatus(withMysql(healthy, A, closed), A, (status) => ({
      ...status,
      serves_writes: { ok: false, because: "it is read-only" },
    })),
    [`critical primary-not-writable: ${A}`],
    "critical",
  ],
  [
    "the primary is closed for writes by an operation",
    {
      ...withStatus(withMysql(healthy, A, closed), A, (status) => ({
        ...status,
        serves_writes: { ok: false, because: "it is read-only" },
      })),
      operationLock: {
        pk: "operation-lock-orders",
        owner: B,
        lease_ms: 3000,
        rvn: "x",
        fence: 3,
        purpose: "switchover",
      },
    },
    [`warning primary-not-writable: ${A}`],
    "degraded",
  ],
  [
    "mysqld of the primary is down",
    withStatus(withMysql(healthy, A, { up: false, error: "connection refused" }), A, (status) => ({
      ...status,
      serves_writes: { ok: false, because: "mysqld does not answer" },
    })),
    [`critical primary-not-writable: ${A}`],
    "critical",
  ],
  [
    "the primary's instance is gone, and nobody was promoted",
    gone(healthy, A),
    [`critical no-primary: ${A}`, "warning missing-nodes:"],
    "critical",
  ],
  [
    "the table has lost its record, and A accepts writes",
    { ...healthy, record: undefined },
    [`critical no-primary: ${A}`],
    "critical",
  ],
  [
    "the table has lost its record, and there is a backup",
    { ...gone(withMysql(healthy, B, {}), A), record: undefined },
    ["critical no-primary:"],
    "critical",
  ],
  [
    "no node has won the election yet",
    {
      ...["a", "b", "c"].reduce((all, _, index) => withSilent(all, [A, B, C][index] ?? A), healthy),
      record: undefined,
      backup: { unreadable: [] },
      writeTargets: [],
      readTargets: [],
      nodes: healthy.nodes.map((node) => ({
        ...node,
        instance: { ...node.instance, tags: {} },
        lifecycle: "Pending:Wait",
        reading: { answered: false, why: "SSM does not manage it" },
      })),
    },
    ["warning no-primary:"],
    "forming",
  ],
  [
    "the first primary takes the first backup",
    {
      ...withNode(
        withNode(
          withNode(healthy, A, (node) => ({
            ...node,
            lifecycle: "Pending:Wait",
            instance: { ...node.instance, tags: {} },
          })),
          B,
          (node) => ({ ...node, lifecycle: "Pending:Wait", instance: { ...node.instance, tags: {} } }),
        ),
        C,
        (node) => ({ ...node, lifecycle: "Pending:Wait", instance: { ...node.instance, tags: {} } }),
      ),
      record: { ...record, phase: "forming", ackers: [] },
      backup: { unreadable: [] },
      writeTargets: [],
      readTargets: [],
    },
    [],
    "forming",
  ],
  [
    "the first primary is gone before the cluster serves",
    {
      ...gone(healthy, A),
      record: { ...record, phase: "forming", ackers: [] },
      readTargets: [],
    },
    [`warning no-primary: ${A}`],
    "forming",
  ],
  [
    "a replica has transactions that the primary does not have",
    withNode(
      withMysql(healthy, B, { gtid_executed: `${uuidOf[A]}:1-100,\n${uuidOf[B]}:1-2` }),
      A,
      // The primary was asked after B had answered.
      (node) => ({ ...node, reading: answered(nodeStatus(A), 2000, 2500) }),
    ),
    [`critical errant-transactions: ${B}`],
    "critical",
  ],
  [
    "a replica is ahead of a view of the primary that may be older",
    withMysql(healthy, B, { gtid_executed: `${uuidOf[A]}:1-100,${uuidOf[B]}:1-2` }),
    [],
    "healthy",
  ],
  [
    "a replica has executed a commit that waits for its acknowledgement on the primary",
    withNode(withMysql(healthy, B, { gtid_executed: `${uuidOf[A]}:1-101` }), A, (node) => ({
      ...node,
      reading: answered(nodeStatus(A), 2000, 2500),
    })),
    [],
    "healthy",
  ],
  [
    "a replica's applier stands",
    withStatus(
      withMysql(healthy, B, {
        replication: {
          source_host: ipOf[A],
          receiver: "yes",
          applier: "no",
          auto_position: true,
          received_gtid_set: "",
          applier_error: "Duplicate entry '1' for key 'PRIMARY'",
        },
      }),
      B,
      (status) => ({ ...status, serves_reads: { ok: false, because: "its applier stands" } }),
    ),
    [`warning replication-broken: ${B}`, `warning wrong-target-group: ${B}`],
    "degraded",
  ],
  [
    "a replica follows another source",
    withMysql(healthy, B, {
      replication: {
        source_host: ipOf[C],
        receiver: "yes",
        applier: "yes",
        auto_position: true,
        received_gtid_set: "",
        lag_seconds: 0,
      },
    }),
    [`warning replication-broken: ${B}`],
    "degraded",
  ],
  [
    "the receivers cannot connect because the primary is down",
    withStatus(
      withMysql(
        withMysql(healthy, B, {
          replication: {
            source_host: ipOf[A],
            receiver: "connecting",
            applier: "yes",
            auto_position: true,
            received_gtid_set: "",
            lag_seconds: 0,
          },
        }),
        A,
        { up: false },
      ),
      A,
      (status) => ({ ...status, serves_writes: { ok: false, because: "mysqld does not answer" } }),
    ),
    [`critical primary-not-writable: ${A}`],
    "critical",
  ],
  ["a replica does not answer", withSilent(healthy, C), [`warning node-unreachable: ${C}`], "degraded"],
  [
    "the primary's SSM agent does not answer, and the load balancer reaches it",
    withSilent(healthy, A),
    [`warning node-unreachable: ${A}`],
    "degraded",
  ],
  [
    "the primary does not answer, and the load balancer does not reach it either",
    { ...withSilent(healthy, A), writeTargets: [target(A, "unhealthy")] },
    [`critical node-unreachable: ${A}`],
    "critical",
  ],
  [
    "mysqld of a replica is down",
    {
      ...withStatus(withMysql(healthy, C, { up: false, error: "connection refused" }), C, (status) => ({
        ...status,
        serves_reads: { ok: false, because: "mysqld does not answer" },
      })),
      readTargets: [target(B), target(C, "unhealthy")],
    },
    [`warning mysqld-down: ${C}`],
    "degraded",
  ],
  [
    "a replacement is joining",
    {
      ...withNode(withSilent(healthy, C), C, (node) => ({
        ...node,
        lifecycle: "Pending:Wait",
        instance: { ...node.instance, tags: {} },
      })),
      readTargets: [target(B)],
    },
    [`warning missing-nodes: ${C}`],
    "degraded",
  ],
  [
    "a replica is in the write group",
    { ...healthy, writeTargets: [target(A), target(B)] },
    [`critical wrong-target-group: ${B}`],
    "critical",
  ],
  [
    "the primary is in no write group",
    { ...healthy, writeTargets: [] },
    [`critical wrong-target-group: ${A}`],
    "critical",
  ],
  [
    "the primary is not yet found healthy by the load balancer",
    { ...healthy, writeTargets: [target(A, "initial")] },
    [`warning wrong-target-group: ${A}`],
    "degraded",
  ],
  [
    "a replica that serves reads is not registered",
    { ...healthy, readTargets: [target(B)] },
    [`warning wrong-target-group: ${C}`],
    "degraded",
  ],
  [
    "the primary is in the read group",
    { ...healthy, readTargets: [target(A), target(B), target(C)] },
    [`warning wrong-target-group: ${A}`],
    "degraded",
  ],
  [
    "something that is no node takes writes",
    { ...healthy, writeTargets: [target(A), target("10.9.9.9")] },
    ["critical wrong-target-group:"],
    "critical",
  ],
  [
    "with forwarding, a node is in one group only",
    {
      ...healthy,
      writeTargets: [A, B, C].map((id) => target(id, "in", 6446)),
      readTargets: [A, B].map((id) => target(id, "in", 6447)),
    },
    [`warning wrong-target-group: ${C}`],
    "degraded",
  ],
  [
    "a replica carries the primary's tag",
    withNode(healthy, B, (node) => ({
      ...node,
      instance: { ...node.instance, tags: { ...node.instance.tags, mysql_role: "master" } },
    })),
    [`warning wrong-role-tag: ${B}`],
    "degraded",
  ],
  [
    "too few ackers are listed",
    { ...healthy, record: { ...record, ackers: [] } },
    [`critical too-few-ackers: ${A}`],
    "critical",
  ],
  [
    "enough ackers are listed and too few are connected",
    withMysql(healthy, A, { semi_sync: { source_enabled: true, replica_enabled: false, wait_count: 1, clients: 0 } }),
    [`critical too-few-ackers: ${A}`],
    "critical",
  ],
  [
    "commits wait for nobody",
    withMysql(healthy, A, { semi_sync: { source_enabled: false, replica_enabled: false, wait_count: 1, clients: 0 } }),
    [`critical too-few-ackers: ${A}`],
    "critical",
  ],
  [
    "writes are accepted without ackers on purpose",
    { ...healthy, record: { ...record, ackers: [], degraded: { since: "2026-11-21T11:00:00Z", by: "force" } } },
    [`critical degraded: ${A}`, `warning too-few-ackers: ${A}`],
    "critical",
  ],
  [
    "Orchestrator counts a peer whose instance is gone, and one that is dead",
    withStatus(healthy, B, (status) => ({
      ...status,
      raft: {
        peers: [
          { address: ipOf[A], alive: true },
          { address: ipOf[C], alive: false },
          { address: "10.0.9.9", alive: true },
        ],
      },
    })),
    [`warning dead-raft-peer: ${C}`],
    "degraded",
  ],
  ["there is no backup", { ...healthy, backup: { unreadable: [] } }, ["critical no-backup:"], "critical"],
  [
    "a newer backup cannot be read",
    { ...healthy, backup: { manifest, unreadable: ["The manifest x is not what this version expects: y."] } },
    ["warning no-backup:"],
    "degraded",
  ],
  [
    "all instances are gone, and the record is still there",
    { ...healthy, nodes: [], writeTargets: [], readTargets: [], configuredNodes: undefined },
    [`critical no-primary: ${A}`],
    "critical",
  ],
];

describe("a situation", () => {
  it.each(situations)("%s", (_, snapshot, expected, verdict) => {
    expect(found(snapshot)).toEqual(expected);
    expect(judge(snapshot).verdict).toBe(verdict);
  });

  it.each(situations)("gives a status of the contract's form, with sentences: %s", (_, snapshot) => {
    const status = judge(snapshot);
    expect(v.safeParse(ClusterStatus, status).issues).toBeUndefined();
    for (const { seen, meaning } of status.disagreements) {
      expect(seen).toMatch(/^\S.*\.$/);
      expect(meaning).toMatch(/^[A-Z].*\.$/);
    }
  });

  it("covers every kind of disagreement", () => {
    const kinds = new Set(situations.flatMap(([, snapshot]) => judge(snapshot).disagreements.map(({ kind }) => kind)));
    const all: DisagreementKind[] = [
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
    ];
    expect([...kinds].sort()).toEqual(all.sort());
  });
});

it("says of errant transactions which they are", () => {
  const [finding] = judge(
    withNode(withMysql(healthy, B, { gtid_executed: `${uuidOf[A]}:1-100,${uuidOf[B]}:1-2:5` }), A, (node) => ({
      ...node,
      reading: answered(nodeStatus(A), 2000, 2500),
    })),
  ).disagreements;
  expect(finding?.seen).toContain(`3 transactions that the primary does not have: ${uuidOf[B]}:1-2:5`);
});

it("asks to read again when the record kept changing", () => {
  const [finding] = judge({ ...withMysql(healthy, B, writable), settled: false }).disagreements;
  expect(finding?.seen).toContain("read the status again");
});

it("is degraded when a node says that something keeps it, and tells it", () => {
  const status = judge(withStatus(healthy, C, (each) => ({ ...each, problems: ["the disk is 95 % full"] })));
  expect(status.verdict).toBe("degraded");
  expect(status.nodes[2]?.problems).toEqual(["the disk is 95 % full"]);
});

it("says when an agent has not seen its mysqld for long", () => {
  expect(judge(withMysql(healthy, C, { seen_ms_ago: 60_000 })).nodes[2]?.problems).toEqual([
    "its agent last saw mysqld 60 s ago",
  ]);
});

describe("the operation under way", () => {
  const operation = {
    pk: "operation-orders-op-1",
    operation_id: "op-1",
    cluster_id: "orders",
    kind: "switchover" as const,
    input: {},
    state: "running" as const,
    steps: [],
    started_by: "a run",
    created_at: "2026-11-21T11:59:00Z",
    attempt: 1,
    rvn: "rvn-1",
  };
  const lock = {
    pk: "operation-lock-orders",
    owner: B,
    lease_ms: 3000,
    rvn: "x",
    fence: 3,
    purpose: "switchover op-1",
  };

  it("is the one whose record has not ended", () => {
    expect(judge({ ...healthy, operations: [operation], operationLock: lock }).current_operation).toBe(
      "op-1 (switchover, running)",
    );
  });

  it("is what the lock is held for, when no record tells", () => {
    expect(judge({ ...healthy, operationLock: lock }).current_operation).toBe(`switchover op-1 (lock held by ${B})`);
  });

  it("is NONE when the lock was released", () => {
    const { owner: _, ...released } = lock;
    expect(judge({ ...healthy, operationLock: released }).current_operation).toBe("NONE");
  });
});
