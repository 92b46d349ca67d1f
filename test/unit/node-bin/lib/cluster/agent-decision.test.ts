import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MysqlStatus, ReplicationStatus } from "#contract/agent-api.ts";
import { type AgentView, decideAgent } from "#node/lib/cluster/agent-decision.ts";
import { n1, n2, record, uuid1 } from "./samples.ts";

const replication = (change: Partial<ReplicationStatus> = {}): ReplicationStatus => ({
  source_host: "127.0.11.4",
  source_uuid: uuid1,
  receiver: "yes",
  applier: "yes",
  auto_position: true,
  received_gtid_set: "",
  lag_seconds: 0,
  ...change,
});
const semiSync = (change = {}) => ({
  source_enabled: false,
  replica_enabled: false,
  wait_count: 1,
  clients: 0,
  ...change,
});
const replica = (change: Partial<MysqlStatus> = {}): MysqlStatus => ({
  up: true,
  seen_ms_ago: 10,
  read_only: true,
  super_read_only: true,
  incarnation: "inc-1",
  server_uuid: "22222222-2222-2222-2222-222222222222",
  replication: replication(),
  semi_sync: semiSync(),
  ...change,
});
const primary = (change: Partial<MysqlStatus> = {}): MysqlStatus => {
  const { replication: _none, ...rest } = replica({
    server_uuid: uuid1,
    read_only: false,
    super_read_only: false,
    ...change,
  });
  return rest;
};
const meListed = record({ ackers: [{ instance_id: n2, incarnation: "inc-1" }] });
const view = (change: Partial<AgentView>): AgentView => ({
  me: n2,
  record: record(),
  mysql: replica(),
  dataFormation: 3,
  joined: true,
  stoppedAtRvn: undefined,
  highestFence: 5,
  heldByOperation: false,
  ...change,
});

const situations: [string, Partial<AgentView>, string | object][] = [
  ["no record was read yet", { record: undefined }, "nothing"],
  ["mysqld is down", { mysql: replica({ up: false }) }, "nothing"],
  ["a replica at peace", {}, "nothing"],
  [
    "another is recorded and this node is writable",
    { mysql: replica({ super_read_only: false, read_only: false }) },
    "demote",
  ],
  ["only super_read_only was switched off", { mysql: replica({ super_read_only: false }) }, "demote"],
  ["writable before it has joined: it is demoted all the same", { joined: false, mysql: primary() }, "demote"],
  ["listed in this incarnation", { record: meListed }, { act: "acknowledge", on: true }],
  ["listed in another incarnation", { record: meListed, mysql: replica({ incarnation: "inc-2" }) }, "nothing"],
  [
    "acknowledges after a restart made it another incarnation",
    { record: meListed, mysql: replica({ incarnation: "inc-2", semi_sync: semiSync({ replica_enabled: true }) }) },
    { act: "acknowledge", on: false },
  ],
  [
    "acknowledges without being listed",
    { mysql: replica({ semi_sync: semiSync({ replica_enabled: true }) }) },
    { act: "acknowledge", on: false },
  ],
  [
    "told to stop under this version of the record",
    { record: meListed, stoppedAtRvn: "rvn-1", mysql: replica({ semi_sync: semiSync({ replica_enabled: true }) }) },
    { act: "acknowledge", on: false },
  ],
  [
    "told to stop: it does not begin again under the same version",
    { record: meListed, stoppedAtRvn: "rvn-1" },
    "nothing",
  ],
  [
    "listed again under a newer version",
    { record: { ...meListed, rvn: "rvn-2" }, stoppedAtRvn: "rvn-1" },
    { act: "acknowledge", on: true },
  ],
  [
    "listed, but not connected yet",
    { record: meListed, mysql: replica({ replication: replication({ receiver: "connecting" }) }) },
    "nothing",
  ],
  [
    "mysqld restarted: replication stands without an error",
    { mysql: replica({ replication: replication({ receiver: "no", applier: "no" }) }) },
    "start-replication",
  ],
  [
    "replication stands with an error",
    { mysql: replica({ replication: replication({ applier: "no", applier_errno: 1062 }) }) },
    "nothing",
  ],
  [
    "the primary has purged what it needs",
    { mysql: replica({ replication: replication({ receiver: "no", receiver_errno: 1236 }) }) },
    "bootstrap-again",
  ],
  [
    "frozen: it starts nothing",
    { highestFence: 6, mysql: replica({ replication: replication({ receiver: "no" }) }) },
    "nothing",
  ],
  [
    "frozen: it follows nobody",
    { highestFence: 6, mysql: replica({ replication: replication({ source_host: "127.0.12.9" }) }) },
    "nothing",
  ],
  ["frozen: it does not begin to acknowledge", { highestFence: 6, record: meListed }, "nothing"],
  [
    "it has seen a higher fence and is not listed: it ceases to acknowledge all the same",
    { highestFence: 6, mysql: replica({ semi_sync: semiSync({ replica_enabled: true }) }) },
    { act: "acknowledge", on: false },
  ],
  [
    "it refused to freeze, because the primary feeds it: it goes on acknowledging",
    { highestFence: 6, record: meListed, mysql: replica({ semi_sync: semiSync({ replica_enabled: true }) }) },
    "nothing",
  ],
  [
    "it has seen a higher fence and is writable: read-only all the same",
    { highestFence: 6, mysql: primary() },
    "demote",
  ],
  [
    "a fence as high is recorded: the frozen go on",
    { highestFence: 6, record: record({ fence: 6 }), mysql: replica({ replication: replication({ receiver: "no" }) }) },
    "start-replication",
  ],
  [
    "a fence as high is recorded, and names another primary: the frozen follow it",
    {
      highestFence: 6,
      record: record({ fence: 6, private_ip: "127.0.12.4" }),
      mysql: replica({ replication: replication({ receiver: "no" }) }),
    },
    "follow",
  ],
  [
    "stopped by a live operation that is about to open it",
    { heldByOperation: true, mysql: replica({ replication: replication({ receiver: "no", applier: "no" }) }) },
    "nothing",
  ],
  [
    "stopped by a live operation: it does not follow anybody",
    { heldByOperation: true, mysql: primary({ super_read_only: true, read_only: true }) },
    "nothing",
  ],
  [
    "the operation is gone: it replicates again",
    { mysql: replica({ replication: replication({ receiver: "no", applier: "no" }) }) },
    "start-replication",
  ],
  ["a live operation does not keep a second node writable", { heldByOperation: true, mysql: primary() }, "demote"],
  [
    "it replicates from somebody else",
    { mysql: replica({ replication: replication({ source_host: "127.0.12.9" }) }) },
    { act: "follow", because: "it replicates from 127.0.12.9, and the primary is 127.0.11.4" },
  ],
  [
    "it does not replicate at all, as one that was the primary",
    { mysql: primary({ read_only: true, super_read_only: true }) },
    { act: "follow", because: "it replicates from nobody, and the primary is 127.0.11.4" },
  ],
  [
    "it was the primary, and semi-sync's source side is still on",
    { mysql: primary({ read_only: true, super_read_only: true, semi_sync: semiSync({ source_enabled: true }) }) },
    "end-source-role",
  ],
  [
    "it was the primary and is still open: read-only before the source side of semi-sync goes off",
    { mysql: primary({ semi_sync: semiSync({ source_enabled: true }) }) },
    "demote",
  ],
  [
    "the source side is still on at a node whose bootstrap is at work: its applier would wait for ever",
    { joined: false, mysql: replica({ semi_sync: semiSync({ source_enabled: true }) }) },
    "end-source-role",
  ],
  ["its data are of an abandoned formation", { dataFormation: 2 }, "bootstrap-again"],
  [
    "the bootstrap refused this node, for errant transactions perhaps: replication is not started behind its back",
    { joined: false, mysql: replica({ replication: replication({ receiver: "no", applier: "no" }) }) },
    "nothing",
  ],
  ["the bootstrap is at work", { joined: false, dataFormation: 2 }, "nothing"],
  ["the recorded primary is open", { me: n1, mysql: primary() }, "lead"],
  [
    "the recorded primary came up read-only",
    { me: n1, mysql: primary({ read_only: true, super_read_only: true }) },
    "reopen",
  ],
  [
    "the recorded primary is read-only under a live operation",
    { me: n1, heldByOperation: true, mysql: primary({ read_only: true, super_read_only: true }) },
    "nothing",
  ],
  [
    "the recorded primary was made read-only by an operation that is gone",
    { me: n1, heldByOperation: false, mysql: primary({ read_only: true, super_read_only: true }) },
    "reopen",
  ],
  [
    "an operation has not made the recorded primary read-only yet",
    { me: n1, heldByOperation: true, mysql: primary() },
    "lead",
  ],
  [
    "the recorded primary is read-only and has seen a higher fence: it takes a new one",
    { me: n1, highestFence: 9, mysql: primary({ read_only: true, super_read_only: true }) },
    "reopen",
  ],
  ["the recorded primary is half open", { me: n1, mysql: primary({ read_only: true }) }, "reopen"],
  [
    "the record names this node, but other data are here",
    { me: n1, mysql: primary({ server_uuid: "33333333-3333-3333-3333-333333333333", super_read_only: true }) },
    "nothing",
  ],
  [
    "the record names this node, and the data are of an older formation",
    { me: n1, dataFormation: 2, mysql: primary({ super_read_only: true }) },
    "nothing",
  ],
];

describe("what an agent does with its own mysqld", () => {
  it.each(situations)("%s", (_name, change, expected) => {
    const decision = decideAgent(view(change));
    if (typeof expected === "string") expect(decision.act).toBe(expected);
    else expect(decision).toMatchObject(expected);
  });
});

const maybe = <T>(value: T) => fc.constantFrom<T | undefined>(value, undefined);
/** Views of every kind, also of those that cannot be. */
const views: fc.Arbitrary<AgentView> = fc
  .record({
    me: fc.constantFrom(n1, n2),
    fence: fc.constantFrom(5, 6),
    listedAs: fc.constantFrom("inc-1", "inc-2", undefined),
    up: fc.boolean(),
    readOnly: fc.boolean(),
    superReadOnly: fc.boolean(),
    uuid: fc.constantFrom(uuid1, "22222222-2222-2222-2222-222222222222"),
    source: fc.constantFrom("127.0.11.4", "127.0.12.9", undefined),
    receiver: fc.constantFrom("yes" as const, "no" as const, "connecting" as const),
    applier: fc.constantFrom("yes" as const, "no" as const),
    errno: maybe(1236),
    sourceEnabled: fc.boolean(),
    acknowledging: fc.boolean(),
    dataFormation: fc.constantFrom(3, 2, undefined),
    joined: fc.boolean(),
    stoppedAtRvn: maybe("rvn-1"),
    highestFence: fc.constantFrom(5, 6),
    heldByOperation: fc.boolean(),
  })
  .map((x) => ({
    me: x.me,
    record: record({
      fence: x.fence,
      ackers: x.listedAs === undefined ? [] : [{ instance_id: n2, incarnation: x.listedAs }],
    }),
    mysql: {
      up: x.up,
      seen_ms_ago: 0,
      server_uuid: x.uuid,
      incarnation: "inc-1",
      read_only: x.readOnly,
      super_read_only: x.superReadOnly,
      ...(x.source === undefined
        ? {}
        : {
            replication: replication({
              source_host: x.source,
              receiver: x.receiver,
              applier: x.applier,
              ...(x.errno === undefined ? {} : { receiver_errno: x.errno }),
            }),
          }),
      semi_sync: semiSync({ source_enabled: x.sourceEnabled, replica_enabled: x.acknowledging }),
    },
    dataFormation: x.dataFormation,
    joined: x.joined,
    stoppedAtRvn: x.stoppedAtRvn,
    highestFence: x.highestFence,
    heldByOperation: x.heldByOperation,
  }));
const everywhere = (check: (seen: AgentView, act: ReturnType<typeof decideAgent>) => void): void => {
  fc.assert(
    fc.property(views, (seen) => check(seen, decideAgent(seen))),
    { numRuns: 3000 },
  );
};
const isMine = ({ me, record: rec }: AgentView): boolean => rec?.instance_id === me;

describe("whatever an agent sees", () => {
  it("it opens only the recorded primary with the recorded data, and never one that an operation holds", () => {
    everywhere((seen, { act }) => {
      if (act !== "reopen" && act !== "lead") return;
      expect(isMine(seen)).toBe(true);
      expect(seen.mysql.server_uuid).toBe(seen.record?.server_uuid);
      expect(seen.dataFormation).toBe(seen.record?.formation);
      if (act === "reopen") expect(seen.heldByOperation).toBe(false);
    });
  });

  it("a writable node that the record does not name is demoted first, whatever else there is to do", () => {
    everywhere((seen, { act }) => {
      if (!isMine(seen) && seen.mysql.up && seen.mysql.super_read_only === false) expect(act).toBe("demote");
    });
  });

  it("it begins to acknowledge only when listed in this incarnation, not told to stop, not frozen, and connected to the recorded primary", () => {
    everywhere((seen, decision) => {
      if (decision.act !== "acknowledge" || !decision.on) return;
      expect(seen.record?.ackers).toEqual([{ instance_id: seen.me, incarnation: seen.mysql.incarnation }]);
      expect(seen.stoppedAtRvn).not.toBe(seen.record?.rvn);
      expect(seen.highestFence).toBeLessThanOrEqual(seen.record?.fence ?? 0);
      expect(seen.mysql.replication).toMatchObject({ source_host: seen.record?.private_ip, receiver: "yes" });
      expect(seen.mysql.super_read_only).toBe(true);
    });
  });

  it("one that acknowledges without being listed in this incarnation, or was told to stop, ceases before it does anything else", () => {
    everywhere((seen, decision) => {
      const { record: rec, mysql } = seen;
      if (isMine(seen) || !mysql.up || !mysql.super_read_only || mysql.semi_sync?.source_enabled) return;
      if (!seen.joined || seen.dataFormation !== rec?.formation || !mysql.semi_sync?.replica_enabled) return;
      const listed = rec?.ackers.some((a) => a.instance_id === seen.me && a.incarnation === mysql.incarnation);
      if (listed && seen.stoppedAtRvn !== rec?.rvn) return;
      expect(decision).toMatchObject({ act: "acknowledge", on: false });
    });
  });

  it("a frozen replica receives nothing from anybody", () => {
    everywhere((seen, { act }) => {
      if (isMine(seen) || seen.highestFence <= (seen.record?.fence ?? 0)) return;
      expect(["follow", "start-replication"]).not.toContain(act);
    });
  });

  it("what a live operation has stopped is not started", () => {
    everywhere((seen, { act }) => {
      if (seen.heldByOperation) expect(["follow", "start-replication", "reopen"]).not.toContain(act);
    });
  });

  it("semi-sync's source side goes off only at a node that is read-only and not the recorded primary", () => {
    everywhere((seen, { act }) => {
      if (act !== "end-source-role") return;
      expect(isMine(seen)).toBe(false);
      expect(seen.mysql.super_read_only).toBe(true);
    });
  });
});
