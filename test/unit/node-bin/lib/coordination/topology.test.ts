import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { itemKey } from "#contract/table.ts";
import { makeTopology, type TopologyContent } from "#node/lib/coordination/topology.ts";
import { answerLost, cutOff, type Fate, fakeStore, prompt } from "./fake-table.ts";

const pk = itemKey.topology("x");

const content: TopologyContent = {
  kind: "async",
  phase: "serving",
  instance_id: "i-0000000a",
  private_ip: "127.0.11.10",
  server_uuid: "00000000-0000-0000-0000-00000000000a",
  fence: 5,
  formation: 1,
  timeline: 1,
  branch_gtid_set: "",
  ackers: [{ instance_id: "i-0000000b", incarnation: "1" }],
  wait_count: 1,
  reason: "test",
};

const setup = async () => {
  const store = fakeStore();
  const fates: { next: Fate[] } = { next: [] };
  let uuids = 0;
  const topology = makeTopology({
    table: store.connect(() => fates.next.shift() ?? prompt),
    clusterId: "x",
    uuid: () => `rvn-${++uuids}`,
    now: () => new Date(0),
  });
  const created = await topology.create(content);
  if (created.outcome !== "written") throw new Error("not created");
  return { store, fates, topology, record: created.record };
};

describe("the topology record", () => {
  it("is created once; a second forming node is told who was first", async () => {
    const { topology, record } = await setup();
    expect(await topology.create({ ...content, instance_id: "i-0000000b" })).toEqual({
      outcome: "superseded",
      current: record,
    });
    expect(await topology.read()).toEqual(record);
  });

  it("is unread before the cluster is formed", async () => {
    const topology = makeTopology({
      table: fakeStore().connect(),
      clusterId: "x",
      uuid: () => "1",
      now: () => new Date(0),
    });
    expect(await topology.read()).toBeUndefined();
  });

  it("gets a new version with every write and keeps what was replaced for the journal", async () => {
    const { topology, record } = await setup();
    const written = await topology.amend(record, { ackers: [] }, { needsHigherFence: false });
    expect(written).toMatchObject({ outcome: "written", previous: record, record: { ackers: [] } });
    const now = await topology.read();
    expect(now?.rvn).not.toBe(record.rvn);
    expect(now?.ackers).toEqual([]);
  });

  it("loses an attribute that is amended to undefined", async () => {
    const { store, topology, record } = await setup();
    const degraded = { since: "2026-11-21T00:00:00Z", by: "i-0000000a" };
    const first = await topology.amend(record, { degraded }, { needsHigherFence: false });
    if (first.outcome !== "written") throw new Error("not written");
    await topology.amend(first.record, { degraded: undefined }, { needsHigherFence: false });
    expect(store.items.get(pk)).not.toHaveProperty("degraded");
  });

  it("refuses a write that rests on an older reading, and shows what is there", async () => {
    const { topology, record } = await setup();
    const newer = await topology.amend(record, { ackers: [] }, { needsHigherFence: false });
    const late = await topology.write({ ...record, reason: "late" }, { readRvn: record.rvn, needsHigherFence: false });
    if (newer.outcome !== "written") throw new Error("not written");
    expect(late).toEqual({ outcome: "superseded", current: newer.record });
  });

  it.each([
    { fence: 4, needsHigherFence: true, outcome: "superseded" },
    { fence: 5, needsHigherFence: true, outcome: "superseded" },
    { fence: 6, needsHigherFence: true, outcome: "written" },
    { fence: 4, needsHigherFence: false, outcome: "superseded" },
    { fence: 5, needsHigherFence: false, outcome: "written" },
  ])("recorded fence 5, written fence $fence, a higher one needed: $needsHigherFence -> $outcome", async (row) => {
    const { topology, record } = await setup();
    const written = await topology.amend(record, { fence: row.fence }, { needsHigherFence: row.needsHigherFence });
    expect(written.outcome).toBe(row.outcome);
  });

  it("a write whose answer is lost is known as written; one that never arrived is not", async () => {
    const { fates, topology, record } = await setup();
    fates.next = [answerLost];
    const written = await topology.amend(record, { fence: 6 }, { needsHigherFence: true });
    expect(written.outcome).toBe("written");
    if (written.outcome !== "written") return;
    fates.next = [cutOff];
    await expect(topology.amend(written.record, { fence: 7 }, { needsHigherFence: true })).rejects.toMatchObject({
      reason: "store-unavailable",
    });
    expect(await topology.read()).toEqual(written.record);
  });

  it("a write of unknown fate is superseded once the record is another one", async () => {
    const { fates, topology, record } = await setup();
    const newer = await topology.amend(record, { fence: 6 }, { needsHigherFence: true });
    fates.next = [cutOff];
    const late = await topology.amend(record, { fence: 7 }, { needsHigherFence: true });
    if (newer.outcome !== "written") throw new Error("not written");
    expect(late).toMatchObject({ outcome: "superseded", current: newer.record });
  });

  it("a creation whose answer is lost is known as written", async () => {
    const store = fakeStore();
    const fates = [answerLost];
    const topology = makeTopology({
      table: store.connect(() => fates.shift() ?? prompt),
      clusterId: "x",
      uuid: () => "1",
      now: () => new Date(0),
    });
    expect((await topology.create(content)).outcome).toBe("written");
  });

  it("that somebody edited is refused with the name of the attribute", async () => {
    const { store, topology, record } = await setup();
    store.items.set(pk, { ...record, wait_count: "one", ackers: [{ instance_id: "mine" }] });
    const error = await topology.read().catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(Failure);
    expect(error).toMatchObject({ reason: "record-malformed" });
    expect(String(error)).toMatch(/topology-x.*ackers\.0\.instance_id.*wait_count/);
  });

  it("is not written malformed", async () => {
    const { store, topology, record } = await setup();
    await expect(topology.amend(record, { wait_count: -1 }, { needsHigherFence: false })).rejects.toMatchObject({
      reason: "record-malformed",
    });
    expect(store.items.get(pk)).toMatchObject({ wait_count: 1 });
  });
});
