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
  highestFence: 3,
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
    { mysql: replica({ replication: replication({ receiver: "no", receiver_errno: 1236 }) }) },
    "nothing",
  ],
  [
    "it replicates from somebody else",
    { mysql: replica({ replication: replication({ source_host: "127.0.12.9" }) }) },
    "bootstrap-again",
  ],
  ["it does not replicate at all", { mysql: primary({ read_only: true, super_read_only: true }) }, "bootstrap-again"],
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
