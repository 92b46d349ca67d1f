import { describe, expect, it } from "vitest";
import type { MysqlStatus } from "#contract/agent-api.ts";
import { type ServingView, servesReads, servesWrites } from "#node/lib/cluster/serving.ts";
import { n1, n2, record, uuid1 } from "./samples.ts";

const primary: MysqlStatus = {
  up: true,
  seen_ms_ago: 50,
  read_only: false,
  super_read_only: false,
  semi_sync: { source_enabled: true, replica_enabled: false, wait_count: 1, clients: 2 },
};
const replica: MysqlStatus = {
  up: true,
  seen_ms_ago: 50,
  read_only: true,
  super_read_only: true,
  replication: {
    source_host: "127.0.11.4",
    source_uuid: uuid1,
    receiver: "yes",
    applier: "yes",
    auto_position: true,
    received_gtid_set: "",
    lag_seconds: 3,
  },
};
const view = (change: Partial<ServingView>): ServingView => ({
  me: n1,
  record: record(),
  mysql: primary,
  leaseHeld: true,
  staleAfterMs: 2000,
  maxLagSeconds: 30,
  ...change,
});
const semiSync = { source_enabled: true, replica_enabled: false, wait_count: 1, clients: 0 };

describe("whether clients may write", () => {
  it.each<[string, Partial<ServingView>, boolean]>([
    ["the open primary with its lease", {}, true],
    ["nobody has read the record", { record: undefined }, false],
    ["another is primary", { me: n2 }, false],
    ["the cluster is forming", { record: record({ phase: "forming" }) }, false],
    ["mysqld is down", { mysql: { ...primary, up: false } }, false],
    ["mysqld has not answered for long", { mysql: { ...primary, seen_ms_ago: 2001 } }, false],
    ["it is read-only", { mysql: { ...primary, super_read_only: true } }, false],
    ["semi-sync is off", { mysql: { ...primary, semi_sync: { ...semiSync, source_enabled: false } } }, false],
    ["the store is lost and ackers are connected", { leaseHeld: false }, true],
    [
      "the store is lost and no acker is connected",
      { leaseHeld: false, mysql: { ...primary, semi_sync: semiSync } },
      false,
    ],
    [
      "the lease is held and no acker is connected: commits wait, connections are taken",
      { mysql: { ...primary, semi_sync: semiSync } },
      true,
    ],
  ])("%s", (_name, change, expected) => {
    expect(servesWrites(view(change)).ok).toBe(expected);
  });
});

describe("whether clients may read", () => {
  const replication = (change: object) => ({
    mysql: { ...replica, replication: { ...replica.replication, ...change } } as MysqlStatus,
  });
  it.each<[string, Partial<ServingView>, boolean]>([
    ["a replica within its limit", {}, true],
    ["the primary", { me: n1 }, false],
    ["it is writable", { mysql: { ...replica, super_read_only: false } }, false],
    ["it does not replicate", { mysql: primary }, false],
    ["it replicates from a former primary", replication({ source_host: "127.0.12.4" }), false],
    ["its applier stands", replication({ applier: "no" }), false],
    ["its receiver stands", replication({ receiver: "no" }), false],
    ["its receiver reconnects: what it has may still be read", replication({ receiver: "connecting" }), true],
    ["nobody knows how far it is behind", replication({ lag_seconds: undefined }), false],
    ["too far behind", replication({ lag_seconds: 31 }), false],
    ["the cluster is forming", { record: record({ phase: "forming" }) }, false],
  ])("%s", (_name, change, expected) => {
    expect(servesReads(view({ me: n2, mysql: replica, ...change })).ok).toBe(expected);
  });

  it("takes a smaller limit from the caller", () => {
    expect(servesReads(view({ me: n2, mysql: replica }), 2).ok).toBe(false);
  });
});
