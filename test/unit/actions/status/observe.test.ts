import { describe, expect, it } from "vitest";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { judge } from "#actions/status/judge.ts";
import { observe, readingOf, type StatusSources } from "#actions/status/observe.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { fakeClock } from "../lib/fake-clock.ts";
import { A, B, C, manifest, type NodeId, nodeStatus, record, seenNode, target, uuidOf } from "./situations.ts";

const instances: SeenInstance[] = [A, B, C].map((id) => ({
  ...seenNode(id).instance,
  tags: {
    ...seenNode(id).instance.tags,
    "percona:dynamodb_table": "percona-orders-locks",
    "percona:s3_bucket": "bucket",
    "percona:write_tg_arn": "write",
    "percona:read_tg_arn": "read",
    "percona:instance_count": "3",
  },
}));

const answer = (id: NodeId, gtids?: string): NodeAnswer => {
  const status = nodeStatus(id);
  return {
    ok: true,
    json: gtids === undefined ? status : { ...status, mysql: { ...status.mysql, gtid_executed: gtids } },
  };
};

interface Fake {
  readonly sources: StatusSources;
  readonly asked: string[];
}

/** Sources in which all is well but what is given. */
const fake = (changes: Partial<StatusSources> = {}): Fake => {
  const asked: string[] = [];
  const sources: StatusSources = {
    lifecycleStates: async (ids) => new Map(ids.map((id) => [id, "InService"])),
    targets: async (arn) => (arn === "write" ? [target(A)] : [target(B), target(C)]),
    record: async () => record,
    operationLock: async () => undefined,
    operations: async () => [],
    newestBackup: async () => ({ manifest, unreadable: [] }),
    ask: async (id) => answer(id as NodeId),
    ...changes,
  };
  return {
    asked,
    sources: {
      ...sources,
      ask: (id) => {
        asked.push(id);
        return sources.ask(id);
      },
    },
  };
};

const observed = async ({ sources }: Fake, clock = fakeClock()) =>
  observe("orders", instances, sources, {
    clock,
    wallClock: () => new Date("2026-11-21T12:00:00Z"),
    signal: new AbortController().signal,
    log: () => {},
  });

describe("observe", () => {
  it("reads a healthy cluster with one question to each node", async () => {
    const all = fake();
    const snapshot = await observed(all);
    expect(judge(snapshot)).toMatchObject({ verdict: "healthy", disagreements: [] });
    expect(snapshot).toMatchObject({ settled: true, configuredNodes: 3, observedAt: "2026-11-21T12:00:00.000Z" });
    expect(all.asked).toEqual([A, B, C]);
  });

  it("looks for the backup of the formation that the record names", async () => {
    const looked: unknown[] = [];
    await observed(
      fake({
        newestBackup: async (bucket, formation) => {
          looked.push([bucket, formation]);
          return { unreadable: [] };
        },
      }),
    );
    expect(looked).toEqual([["bucket", 1]]);
  });

  it("reads all again when the record changed meanwhile", async () => {
    const records: TopologyRecord[] = [record, { ...record, rvn: "rvn-2", instance_id: B }];
    let reads = 0;
    const all = fake({ record: async () => records[Math.min(reads++, 1)] });
    const snapshot = await observed(all);
    expect(snapshot).toMatchObject({ settled: true, record: { instance_id: B } });
    expect(all.asked.length).toBe(6);
  });

  it("says so when the record never stays the same", async () => {
    let reads = 0;
    const all = fake({ record: async () => ({ ...record, rvn: `rvn-${reads++}` }) });
    expect((await observed(all)).settled).toBe(false);
    expect(all.asked.length).toBe(9);
  });

  it("does not take a replica for errant that is ahead of an old view of the primary", async () => {
    const newer = `${uuidOf[A]}:1-100,${uuidOf[C]}:1-9`;
    let primaryReads = 0;
    const clock = fakeClock();
    const all = fake({
      ask: async (id) => {
        await clock.sleep(100);
        if (id !== A) return answer(id as NodeId, newer);
        return answer(A, primaryReads++ === 0 ? `${uuidOf[A]}:1-100,${uuidOf[C]}:1-8` : newer);
      },
    });
    const snapshot = await observed(all, clock);
    expect(judge(snapshot).disagreements).toEqual([]);
    expect(primaryReads).toBe(2);
  });

  it("finds a replica errant once the primary was surely seen after it", async () => {
    const clock = fakeClock();
    const all = fake({
      ask: async (id) => {
        await clock.sleep(100);
        return answer(id as NodeId, id === B ? `${uuidOf[A]}:1-100,${uuidOf[B]}:1` : undefined);
      },
    });
    const snapshot = await observed(all, clock);
    expect(judge(snapshot).disagreements).toMatchObject([{ kind: "errant-transactions", instance_ids: [B] }]);
  });

  it("does not ask an instance that is not running", async () => {
    const all = fake();
    const stopped = instances.map((each) => (each.instance_id === C ? { ...each, state: "stopped" } : each));
    const snapshot = await observe("orders", stopped, all.sources, {
      clock: fakeClock(),
      wallClock: () => new Date(),
      signal: new AbortController().signal,
      log: () => {},
    });
    expect(all.asked).toEqual([A, B]);
    expect(snapshot.nodes[2]?.reading).toEqual({ answered: false, why: "EC2 says that it is stopped" });
  });
});

describe("a node's answer", () => {
  it.each<[string, NodeAnswer, RegExp]>([
    ["that is none", { ok: false, problem: "undeliverable", detail: "SSM could not deliver" }, /could not deliver/],
    ["of another form", { ok: true, json: { schema: 2 } }, /its answer is not a status: schema/],
    ["of another node", { ok: true, json: nodeStatus(B) }, /answered as i-0000000000000000b of cluster orders/],
    ["of another cluster", { ok: true, json: { ...nodeStatus(A), cluster_id: "carts" } }, /of cluster carts/],
    ["with a GTID set that is none", answer(A, "rubbish"), /is not a GTID set/],
  ])("%s does not count", (_, given, why) => {
    const reading = readingOf("orders", A, given, 0, 1);
    expect(reading.answered ? "" : reading.why).toMatch(why);
  });
});
