import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Inspection, MysqlStatus, ReplicationStatus } from "#contract/agent-api.ts";
import * as gtid from "#contract/gtid.ts";
import type { SwitchoverInput } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { decideSwitchover, type PlannedNode, type SwitchoverView } from "#node/lib/cluster/switchover-decision.ts";
import { n1, n2, n3, record, uuid1 } from "./samples.ts";

const [n4, n5] = ["i-00000000000000004", "i-00000000000000005"] as const;
const stranger = "i-0000000000000000f";
const foreignUuid = "ffffffff-0000-0000-0000-000000000000";
const upTo = (last: number): string => `${uuid1}:1-${last}`;

const inspected = (mysql: Partial<MysqlStatus>, change: Partial<Inspection> = {}): Inspection => ({
  mysql: { up: true, seen_ms_ago: 3, version: "8.4.6-2", incarnation: "inc-1", gtid_executed: upTo(10), ...mysql },
  oldest_transaction_seconds: 0,
  client_sessions: 4,
  ...change,
});
const ipOf = (instanceId: string): string => `127.0.11.${Number.parseInt(instanceId.slice(-1), 16) + 3}`;
const at = (instanceId: string, inspection: Inspection | undefined, error?: string): PlannedNode => ({
  instanceId,
  privateIp: ipOf(instanceId),
  inspection,
  ...(error === undefined ? {} : { error }),
});
const primary = (mysql: Partial<MysqlStatus> = {}, change: Partial<Inspection> = {}): PlannedNode =>
  at(n1, inspected({ read_only: false, super_read_only: false, ...mysql }, change));
const replication = (change: Partial<ReplicationStatus> = {}): ReplicationStatus => ({
  source_host: "127.0.11.4",
  receiver: "yes",
  applier: "yes",
  auto_position: true,
  received_gtid_set: upTo(10),
  lag_seconds: 0,
  ...change,
});
const replica = (
  instanceId: string,
  mysql: Partial<MysqlStatus> = {},
  change: Partial<ReplicationStatus> = {},
): PlannedNode =>
  at(instanceId, inspected({ read_only: true, super_read_only: true, replication: replication(change), ...mysql }));
const silent = (instanceId: string): PlannedNode => at(instanceId, undefined, "connection refused");
const down = (instanceId: string): PlannedNode =>
  at(instanceId, inspected({ up: false, error: "mysqld is not running" }));

const listed = (...ids: string[]) => ids.map((instance_id) => ({ instance_id, incarnation: "inc-1" }));
const settings: SwitchoverInput = { max_lag_seconds: 10, max_transaction_age_seconds: 60, timeout_seconds: 60 };
interface Change {
  readonly record?: Partial<TopologyRecord>;
  readonly nodes?: readonly PlannedNode[];
  readonly input?: Partial<SwitchoverInput>;
  readonly otherOperation?: string;
  readonly routing?: SwitchoverView["routing"];
}
const view = (change: Change = {}): SwitchoverView => ({
  record: record({ ackers: listed(n2, n3), ...change.record }),
  nodes: change.nodes ?? [primary(), replica(n2), replica(n3)],
  input: { ...settings, ...change.input },
  otherOperation: change.otherOperation,
  routing: change.routing ?? "forward",
});
const decide = (change: Change = {}) => decideSwitchover(view(change), gtid);
const reasons = (change: Change = {}): string[] => decide(change).refusals.map(({ reason }) => reason);
const force = "accept-loss" as const;
const five: Change = { record: { wait_count: 2, ackers: listed(n2, n3, n4, n5) } };

/** What is asked for, and the reasons why it is refused, in the order in which people read them. */
const refused: [string, Change, string[]][] = [
  ["all is well", {}, []],
  ["all is well, and the target is named", { input: { target: n3 } }, []],
  ["the expected primary is the primary", { input: { expected_primary: n1 } }, []],
  ["another node is the primary than expected", { input: { expected_primary: n2 } }, ["unexpected-primary"]],
  ["an instance of another cluster", { input: { target: stranger } }, ["instance-not-in-cluster"]],
  ["the cluster is forming", { record: { phase: "forming" } }, ["cluster-unhealthy"]],
  ["another operation is under way", { otherOperation: "upgrade-7" }, ["operation-in-progress"]],
  [
    "the target's agent does not answer",
    { input: { target: n2 }, nodes: [primary(), silent(n2), replica(n3)] },
    ["node-unreachable"],
  ],
  [
    "the target's mysqld is down",
    { input: { target: n2 }, nodes: [primary(), down(n2), replica(n3)] },
    ["node-unreachable"],
  ],
  ["the primary's agent does not answer", { nodes: [silent(n1), replica(n2), replica(n3)] }, ["node-unreachable"]],
  ["the primary's mysqld is down", { nodes: [down(n1), replica(n2), replica(n3)] }, ["node-unreachable"]],
  ["the primary's instance is gone", { nodes: [replica(n2), replica(n3)] }, ["node-unreachable"]],
  [
    "a lag as long as allowed",
    { input: { target: n2 }, nodes: [primary(), replica(n2, {}, { lag_seconds: 10 }), replica(n3)] },
    [],
  ],
  [
    "a lag longer than allowed",
    { input: { target: n2 }, nodes: [primary(), replica(n2, {}, { lag_seconds: 11 }), replica(n3)] },
    ["lag-too-high"],
  ],
  [
    "no lag is allowed, and there is some",
    { input: { target: n2, max_lag_seconds: 0 }, nodes: [primary(), replica(n2, {}, { lag_seconds: 1 }), replica(n3)] },
    ["lag-too-high"],
  ],
  [
    "MySQL does not know the lag",
    {
      input: { target: n2 },
      nodes: [primary(), at(n2, inspected({ replication: { ...replication(), lag_seconds: undefined } })), replica(n3)],
    },
    ["lag-too-high"],
  ],
  [
    "a transaction as old as allowed",
    { nodes: [primary({}, { oldest_transaction_seconds: 60 }), replica(n2), replica(n3)] },
    [],
  ],
  [
    "a transaction older than allowed",
    { nodes: [primary({}, { oldest_transaction_seconds: 61 }), replica(n2), replica(n3)] },
    ["long-transactions"],
  ],
  [
    "the receiver of the target stands",
    { input: { target: n2 }, nodes: [primary(), replica(n2, {}, { receiver: "no" }), replica(n3)] },
    ["replication-broken"],
  ],
  [
    "the receiver of the target reconnects",
    { input: { target: n2 }, nodes: [primary(), replica(n2, {}, { receiver: "connecting" }), replica(n3)] },
    ["replication-broken"],
  ],
  [
    "the applier of the target stands with an error",
    {
      input: { target: n2 },
      nodes: [primary(), replica(n2, {}, { applier: "no", applier_error: "Duplicate entry" }), replica(n3)],
    },
    ["replication-broken"],
  ],
  [
    "the target follows somebody else",
    { input: { target: n2 }, nodes: [primary(), replica(n2, {}, { source_host: "127.0.12.9" }), replica(n3)] },
    ["replication-broken"],
  ],
  [
    "the target does not replicate",
    { input: { target: n2 }, nodes: [primary(), at(n2, inspected({})), replica(n3)] },
    ["replication-broken"],
  ],
  [
    "the target has a transaction of its own",
    {
      input: { target: n2 },
      nodes: [primary(), replica(n2, { gtid_executed: `${upTo(10)},${foreignUuid}:1` }), replica(n3)],
    },
    ["errant-transactions"],
  ],
  [
    "the target is a moment ahead of what was seen of the primary",
    { input: { target: n2 }, nodes: [primary({ gtid_executed: upTo(9) }), replica(n2), replica(n3)] },
    [],
  ],
  [
    "the target runs a newer series than another node",
    { input: { target: n2 }, nodes: [primary(), replica(n2, { version: "9.7.0-1" }), replica(n3)] },
    ["version-not-allowed"],
  ],
  [
    "the target runs a newer series than the primary alone, which becomes its replica",
    { input: { target: n2 }, nodes: [primary(), replica(n2, { version: "9.7.0" }), replica(n3, { version: "9.7.0" })] },
    ["version-not-allowed"],
  ],
  [
    "the target runs an older series than the others",
    { input: { target: n2 }, nodes: [primary({ version: "9.7.0" }), replica(n2), replica(n3, { version: "9.7.0" })] },
    [],
  ],
  [
    "the target runs another patch level of the same series",
    { input: { target: n2 }, nodes: [primary(), replica(n2, { version: "8.4.12" }), replica(n3)] },
    [],
  ],
  [
    "versions are numbers: 26.7 is newer than 8.4",
    { input: { target: n2 }, nodes: [primary(), replica(n2, { version: "26.7.0" }), replica(n3)] },
    ["version-not-allowed"],
  ],
  [
    "versions are numbers: 8.10 is newer than 8.4",
    { input: { target: n2 }, nodes: [primary(), replica(n2, { version: "8.10.1" }), replica(n3)] },
    ["version-not-allowed"],
  ],
  ["the third node is away: the old primary will acknowledge", { nodes: [primary(), replica(n2), silent(n3)] }, []],
  [
    "five nodes, three away: too few would be left to acknowledge",
    { ...five, nodes: [primary(), replica(n2), silent(n3), down(n4), silent(n5)] },
    ["too-few-ackers"],
  ],
  ["five nodes, two away", { ...five, nodes: [primary(), replica(n2), replica(n3), silent(n4), silent(n5)] }, []],
  ["there is no replica", { nodes: [primary()], record: { wait_count: 0 } }, ["no-safe-candidate"]],
  [
    "everything at once",
    {
      record: { phase: "forming" },
      otherOperation: "other-1",
      input: { target: n2, expected_primary: n3 },
      nodes: [
        primary({}, { oldest_transaction_seconds: 3600 }),
        replica(n2, { version: "9.7.0", gtid_executed: `${foreignUuid}:1` }, { applier: "no" }),
        silent(n3),
      ],
    },
    [
      "unexpected-primary",
      "cluster-unhealthy",
      "operation-in-progress",
      "replication-broken",
      "errant-transactions",
      "version-not-allowed",
      "long-transactions",
    ],
  ],
];

describe("what is refused", () => {
  it.each(refused)("%s", (_name, change, expected) => {
    expect(reasons(change)).toEqual(expected);
  });

  it.each<[string, Change, RegExp]>([
    ["who holds the lock", { otherOperation: "upgrade-7" }, /upgrade-7 holds/],
    ["who is the primary instead", { input: { expected_primary: n2 } }, new RegExp(`${n1}.* not ${n2}`)],
    [
      "which transactions are a node's own",
      { input: { target: n2 }, nodes: [primary(), replica(n2, { gtid_executed: `${upTo(3)},${foreignUuid}:5` })] },
      new RegExp(`${n2}.*${foreignUuid}:5`),
    ],
    [
      "MySQL's own words",
      {
        input: { target: n2 },
        nodes: [primary(), replica(n2, {}, { applier: "no", applier_error: "Duplicate entry" })],
      },
      /Duplicate entry/,
    ],
    ["both lags", { nodes: [primary(), replica(n2, {}, { lag_seconds: 11 })] }, /11 s behind; 10 s/],
    ["both ages", { nodes: [primary({}, { oldest_transaction_seconds: 61 }), replica(n2)] }, /61 s old; 60 s/],
    ["why a node does not answer", { nodes: [silent(n1), replica(n2), replica(n3)] }, /connection refused.*force/],
    ["both versions", { nodes: [primary(), replica(n2, { version: "9.7.0" })] }, /9\.7\.0.*8\.4\.6-2/],
    ["how many could acknowledge", { ...five, nodes: [primary(), replica(n2)] }, /1 nodes? .*2 /],
  ])("a refusal says %s", (_name, change, pattern) => {
    expect(
      decide(change)
        .refusals.map(({ message }) => message)
        .join("\n"),
    ).toMatch(pattern);
  });
});

it("what is there already is no refusal and no change", () => {
  expect(decide({ input: { target: n1 } })).toMatchObject({
    changes: false,
    refusals: [],
    candidate: { instanceId: n1 },
  });
});

it("what is there already, but under another primary than expected, is told", () => {
  expect(reasons({ input: { target: n1, expected_primary: n2 } })).toEqual(["unexpected-primary"]);
});

/** Which replica is taken when none is named. */
const choices: [string, readonly PlannedNode[], string][] = [
  ["equals: the lowest id", [replica(n3), primary(), replica(n2)], n2],
  [
    "the one that is not behind",
    [primary(), replica(n2, {}, { lag_seconds: 4 }), replica(n3, {}, { lag_seconds: 1 })],
    n3,
  ],
  ["a listed acker before one that is less behind", [primary(), replica(n4), replica(n3, {}, { lag_seconds: 3 })], n3],
  [
    "one that restarted since it was listed counts as not listed",
    [primary(), replica(n2, { incarnation: "inc-2" }), replica(n3)],
    n3,
  ],
  [
    "one that is too far behind comes after one that is not",
    [primary(), replica(n2, {}, { lag_seconds: 11 }), replica(n4, {}, { lag_seconds: 9 })],
    n4,
  ],
  ["one whose replication is broken is not taken", [primary(), replica(n2, {}, { applier: "no" }), replica(n3)], n3],
  [
    "one with transactions of its own is not taken",
    [primary(), replica(n2, { gtid_executed: `${foreignUuid}:1` }), replica(n3)],
    n3,
  ],
  ["one that does not answer is not taken", [primary(), silent(n2), replica(n3)], n3],
  ["one of a newer series is not taken", [primary(), replica(n2, { version: "9.7.0" }), replica(n3)], n3],
  [
    "one whose lag nobody knows comes last",
    [primary(), at(n2, inspected({})), replica(n3, {}, { lag_seconds: 9 })],
    n3,
  ],
  ["the primary itself is never taken", [primary(), replica(n5, {}, { lag_seconds: 9 })], n5],
];

describe("the best candidate", () => {
  it.each(choices)("%s", (_name, nodes, expected) => {
    expect(decide({ nodes }).candidate?.instanceId).toBe(expected);
  });

  it("with none that is fit the plan names the least bad one and says why it is refused", () => {
    const nodes = [primary(), replica(n2, {}, { lag_seconds: 99 }), silent(n3)];
    expect(decide({ nodes })).toMatchObject({ candidate: { instanceId: n2 }, refusals: [{ reason: "lag-too-high" }] });
  });
});

describe("warnings", () => {
  it("none when all is well", () => {
    expect(decide().warnings).toEqual([]);
  });

  it("that clients of the load balancer wait for its health checks, when nodes are moved between the target groups", () => {
    const { refusals, warnings } = decide({ routing: "registration" });
    expect(refusals).toEqual([]);
    expect(warnings.join()).toMatch(/health checks/);
  });

  it("that commits wait for the old primary, when it alone can acknowledge", () => {
    const { refusals, warnings } = decide({ nodes: [primary(), replica(n2), silent(n3)] });
    expect(refusals).toEqual([]);
    expect(warnings.join()).toMatch(/until the old primary follows/);
  });
});

describe("a person accepts the loss", () => {
  const alone = { input: { force }, nodes: [silent(n1), silent(n2), replica(n3, {}, { received_gtid_set: upTo(12) })] };

  it("the only node left may be promoted, whatever its replication says", () => {
    const decision = decide({
      ...alone,
      nodes: [silent(n1), silent(n2), replica(n3, {}, { receiver: "connecting", lag_seconds: 900 })],
    });
    expect(decision).toMatchObject({ forced: true, changes: true, candidate: { instanceId: n3 }, refusals: [] });
  });

  it("the plan says what may be missing, where it could still be had, and that commits will wait for nobody", () => {
    const [lost, where, degraded] = decide(alone).warnings;
    expect(lost).toContain(upTo(12));
    expect(lost).toContain(n3);
    expect(where).toContain(n1);
    expect(where).toContain(n2);
    expect(where).not.toContain(n3);
    expect(degraded).toMatch(/degraded/);
  });

  it("an acker that restarted may have lost what it acknowledged; its volume may still have it", () => {
    const nodes = [silent(n1), replica(n2, { incarnation: "inc-2" }), replica(n3)];
    expect(decide({ input: { force }, nodes }).warnings[1]).toContain(n2);
  });

  it("with all ackers there only the dead primary could have more", () => {
    const nodes = [silent(n1), replica(n2), replica(n3)];
    const where = decide({ input: { force }, nodes }).warnings[1];
    expect(where).toContain(n1);
    expect(where).not.toContain(n2);
  });

  it.each<[string, readonly PlannedNode[], string]>([
    ["received more", [silent(n1), replica(n2), replica(n3, {}, { received_gtid_set: upTo(11) })], n3],
    ["executed more, and is not listed", [silent(n1), replica(n2), replica(n4, { gtid_executed: upTo(12) })], n4],
    ["holds as much and is fit for it", [silent(n1), replica(n2, { version: "9.7.0" }), replica(n3)], n3],
    ["is the only one that answers", [silent(n1), silent(n2), replica(n3)], n3],
  ])("who %s is taken", (_name, nodes, expected) => {
    expect(decide({ input: { force }, nodes }).candidate?.instanceId).toBe(expected);
  });

  it("a named target is not replaced by another", () => {
    const nodes = [silent(n1), replica(n2), replica(n3, {}, { received_gtid_set: upTo(11) })];
    expect(decide({ input: { force, target: n2 }, nodes }).candidate?.instanceId).toBe(n2);
  });

  it.each<[string, Change, string[]]>([
    ["another operation is under way", { ...alone, otherOperation: "switchover-1" }, ["operation-in-progress"]],
    [
      "another node is the primary than expected",
      { ...alone, input: { force, expected_primary: n2 } },
      ["unexpected-primary"],
    ],
    ["the cluster is forming", { ...alone, record: { phase: "forming" } }, ["cluster-unhealthy"]],
    ["the target does not answer either", { ...alone, input: { force, target: n2 } }, ["node-unreachable"]],
    ["an instance of another cluster", { ...alone, input: { force, target: stranger } }, ["instance-not-in-cluster"]],
    ["nobody is left", { input: { force }, nodes: [silent(n1)] }, ["no-safe-candidate"]],
    ["nobody answers", { input: { force }, nodes: [silent(n1), silent(n2), silent(n3)] }, ["node-unreachable"]],
  ])("force does not help when %s", (_name, change, expected) => {
    expect(reasons(change)).toEqual(expected);
  });
});

describe("force with a primary that answers is an ordinary switchover: nothing else is waived", () => {
  const nodesOf: Record<string, Change> = {
    "lag-too-high": { nodes: [primary(), replica(n2, {}, { lag_seconds: 900 }), replica(n3)] },
    "replication-broken": { nodes: [primary(), replica(n2, {}, { applier: "no" }), replica(n3)] },
    "long-transactions": { nodes: [primary({}, { oldest_transaction_seconds: 3600 }), replica(n2), replica(n3)] },
    "too-few-ackers": { ...five, nodes: [primary(), replica(n2), silent(n3), silent(n4), silent(n5)] },
    "errant-transactions": { nodes: [primary(), replica(n2, { gtid_executed: `${foreignUuid}:1` }), replica(n3)] },
  };
  it.each(Object.entries(nodesOf))("%s", (reason, change) => {
    const decision = decide({ ...change, input: { target: n2, force } });
    expect(decision.forced).toBe(false);
    expect(decision.refusals.map((each) => each.reason)).toEqual([reason]);
  });

  it("and it warns of no loss", () => {
    expect(decide({ input: { force } })).toMatchObject({ forced: false, warnings: [], candidate: { instanceId: n2 } });
  });

  it("and takes the best candidate, not whoever happens to have received most", () => {
    const nodes = [primary(), replica(n2), replica(n4, {}, { received_gtid_set: upTo(11) })];
    expect(decide({ input: { force }, nodes }).candidate?.instanceId).toBe(n2);
  });
});

const anyReplica = (instanceId: string): fc.Arbitrary<PlannedNode> =>
  fc
    .record({
      answers: fc.constantFrom("yes", "yes", "yes", "no", "mysqld is down"),
      lag: fc.constantFrom(0, 5, 10, 11, undefined),
      receiver: fc.constantFrom("yes" as const, "yes" as const, "connecting" as const, "no" as const),
      applier: fc.constantFrom("yes" as const, "yes" as const, "no" as const),
      executed: fc.constantFrom(upTo(9), upTo(10), `${upTo(10)},${foreignUuid}:1`),
      received: fc.constantFrom(upTo(10), upTo(12)),
      version: fc.constantFrom("8.4.6-2", "8.4.7", "9.7.0"),
      incarnation: fc.constantFrom("inc-1", "inc-2"),
    })
    .map(({ answers, applier, executed, incarnation, lag, received, receiver, version }) => {
      if (answers === "no") return silent(instanceId);
      if (answers !== "yes") return down(instanceId);
      const { lag_seconds: _, ...known } = replication({ receiver, applier, received_gtid_set: received });
      return at(
        instanceId,
        inspected({
          version,
          incarnation,
          gtid_executed: executed,
          replication: lag === undefined ? known : { ...known, lag_seconds: lag },
        }),
      );
    });
const situations = fc.record({
  nodes: fc
    .tuple(fc.constantFrom(primary(), silent(n1), down(n1)), anyReplica(n2), anyReplica(n3), anyReplica(n4))
    .chain(([first, ...rest]) => fc.subarray(rest).map((some) => [first, ...some])),
  input: fc.record({
    ...{ target: fc.constantFrom(undefined, n1, n2, n3), force: fc.constantFrom(undefined, force) },
  }),
});
const given = (input: { target: string | undefined; force: typeof force | undefined }): Partial<SwitchoverInput> => ({
  ...(input.target === undefined ? {} : { target: input.target }),
  ...(input.force === undefined ? {} : { force: input.force }),
});

describe("in every situation", () => {
  it("what is not refused has a candidate that answers and is not the primary, and a primary that answers unless it is forced", () => {
    fc.assert(
      fc.property(situations, ({ input, nodes }) => {
        const decision = decide({ nodes, input: given(input) });
        if (decision.refusals.length > 0 || !decision.changes) return;
        expect(decision.candidate?.instanceId).not.toBe(n1);
        expect(decision.candidate?.inspection?.mysql.up).toBe(true);
        expect(decision.forced).toBe(nodes[0]?.inspection?.mysql.up !== true);
        expect(decision.forced && input.force === undefined).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it("when some replica could be named without a refusal, the best candidate is not refused", () => {
    fc.assert(
      fc.property(situations, ({ nodes }) => {
        const best = decide({ nodes });
        const couldBe = [n2, n3, n4].some((target) => decide({ nodes, input: { target } }).refusals.length === 0);
        expect(best.refusals.length === 0).toBe(couldBe);
      }),
      { numRuns: 1000 },
    );
  });

  it("the order in which nodes were looked at decides nothing", () => {
    fc.assert(
      fc.property(situations, ({ input, nodes }) => {
        const one = decide({ nodes, input: given(input) });
        const other = decide({ nodes: [...nodes].reverse(), input: given(input) });
        expect(other.candidate?.instanceId).toBe(one.candidate?.instanceId);
        expect(other.refusals.map(({ reason }) => reason)).toEqual(one.refusals.map(({ reason }) => reason));
      }),
      { numRuns: 500 },
    );
  });

  it("a forced promotion always says what may be lost, and an ordinary one never does", () => {
    fc.assert(
      fc.property(situations, ({ input, nodes }) => {
        const decision = decide({ nodes, input: given(input) });
        if (!decision.candidate || decision.candidate.instanceId === n1) return;
        const warns = decision.warnings.some((warning) => /may be lost/.test(warning));
        expect(warns).toBe(decision.forced);
      }),
      { numRuns: 500 },
    );
  });
});
