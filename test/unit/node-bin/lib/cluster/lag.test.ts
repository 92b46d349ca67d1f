import { describe, expect, it } from "vitest";
import type { ReplicationStatus } from "#contract/agent-api.ts";
import { estimateLag } from "#node/lib/cluster/lag.ts";

const replication = (change: Partial<ReplicationStatus> = {}): ReplicationStatus => ({
  source_host: "127.0.11.4",
  receiver: "connecting",
  applier: "yes",
  auto_position: true,
  received_gtid_set: "",
  ...change,
});
const known = { seconds: 2, at: 10_000 };

describe("how far a replica is behind", () => {
  it.each<[string, Partial<ReplicationStatus>, typeof known | undefined, number, number | undefined]>([
    ["MySQL knows", { receiver: "yes", lag_seconds: 7 }, known, 60_000, 7],
    ["the source is gone: what it was, and the time since", {}, known, 14_001, 7],
    ["the source is gone, and the lag was never known", {}, undefined, 14_000, undefined],
    ["the receiver was stopped: nothing is said", { receiver: "no" }, known, 14_000, undefined],
    ["the applier stands: nothing is said", { applier: "no" }, known, 14_000, undefined],
  ])("%s", (_name, change, before, now, seconds) => {
    expect(estimateLag(replication(change), before, now).replication.lag_seconds).toBe(seconds);
  });

  it("remembers what MySQL said last, not what was estimated", () => {
    const said = estimateLag(replication({ receiver: "yes", lag_seconds: 3 }), undefined, 1000).known;
    const later = estimateLag(replication(), said, 5000);
    expect(estimateLag(replication(), later.known, 9000).replication.lag_seconds).toBe(11);
  });
});
