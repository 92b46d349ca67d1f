import { describe, expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import { firstServerId } from "#contract/server-ids.ts";
import { itemKey } from "#contract/table.ts";
import { allocateServerId } from "#node/lib/coordination/server-ids.ts";
import { pause } from "#node/lib/host/wait.ts";
import type { Fault } from "./dynamodb-server.ts";
import { useDynamodb } from "./fixture.ts";
import { clusterId, type Node, recordOf } from "./node.ts";

const dynamodb = useDynamodb();
/** A lease without its safety margin. */
const usableMs = (leaseTimings.short.leaseMs * 5) / 6;

/** The next `count` writes of the node meet with the fault. */
const next = (node: Node, fault: Fault, count: number) => {
  const met = { count: 0, firstAt: Number.NaN };
  dynamodb.server().disturb(({ from, operation }) => {
    if (from !== node.address || operation === "GetItem" || met.count >= count) return undefined;
    if (met.count === 0) met.firstAt = performance.now();
    met.count += 1;
    return fault;
  });
  return met;
};

// The SDK sends a write twice. After one lost answer its second attempt meets what the first one left behind; after two, only
// a read can tell.
describe.concurrent.each([
  { fault: { kind: "lose-answer" }, times: 1 },
  { fault: { kind: "lose-answer" }, times: 2 },
  { fault: { kind: "withhold-answer" }, times: 1 },
  { fault: { kind: "withhold-answer" }, times: 2 },
] as const)("the write takes effect and its answer is lost ($fault.kind, $times of 2 attempts)", ({ fault, times }) => {
  it("taking the lease: taken, once, and held for no longer than its first attempt allows", async () => {
    const node = dynamodb.freshNode(await dynamodb.newTable());
    const met = next(node, fault, times);
    const lease = node.lease();
    const grant = await lease.tryAcquire();
    expect(met.count).toBe(times);
    expect(await lease.observe()).toMatchObject({ item: { fence: 1 } });
    // On a machine that is busy enough the second lost answer leaves too little of the lease; then it is given back.
    if (!grant) return expect((await lease.observe()).state).toBe("free");
    await pause(met.firstAt + usableMs - performance.now());
    expect(grant.held()).toBe(false);
  });

  it("renewing: still held", async () => {
    const node = dynamodb.freshNode(await dynamodb.newTable());
    const grant = await node.lease().acquire();
    const met = next(node, fault, times);
    await grant.renewNow();
    await grant.renewNow();
    expect(met.count).toBe(times);
    expect(grant.held()).toBe(true);
    expect(await grant.release("end of the test")).toBe("released");
  });

  it("releasing: released, and free for the next", async () => {
    const table = await dynamodb.newTable();
    const node = dynamodb.freshNode(table);
    const grant = await node.lease().acquire();
    const met = next(node, fault, times);
    expect(await grant.release("done")).toBe("released");
    expect(met.count).toBe(times);
    expect((await dynamodb.freshNode(table).lease().tryAcquire())?.fence).toBe(2);
  });

  it("creating the record: created, and a second creation is refused", async () => {
    const table = await dynamodb.newTable();
    const node = dynamodb.freshNode(table);
    const met = next(node, fault, times);
    expect((await node.topology.create(recordOf(1, 1))).outcome).toBe("written");
    expect(met.count).toBe(times);
    expect((await node.topology.create(recordOf(1, 1))).outcome).toBe("superseded");
  });

  it("changing the record: written once", async () => {
    const node = dynamodb.freshNode(await dynamodb.newTable());
    const created = await node.topology.create(recordOf(1, 1));
    if (created.outcome !== "written") throw new Error("not created");
    const met = next(node, fault, times);
    const written = await node.topology.amend(created.record, { fence: 2 }, { needsHigherFence: true });
    expect(met.count).toBe(times);
    expect(written).toMatchObject({ outcome: "written", record: { fence: 2 } });
    expect(await node.topology.read()).toEqual(written.outcome === "written" && written.record);
  });

  it("allocating a server id: one id, not two", async () => {
    const node = dynamodb.freshNode(await dynamodb.newTable());
    const met = next(node, fault, times);
    expect(await allocateServerId(node.table, clusterId, node.instanceId)).toBe(firstServerId);
    expect(met.count).toBe(times);
    expect(await allocateServerId(node.table, clusterId, node.instanceId)).toBe(firstServerId);
    expect((await node.table.get(itemKey.serverIds(clusterId)))?.next).toBe(firstServerId + 1);
  });
});

describe("the write arrives after its sender gave up", () => {
  it("a lease that was taken and let go meanwhile stays free", async () => {
    const table = await dynamodb.newTable();
    const late = dynamodb.freshNode(table);
    const before = dynamodb.server().lateArrivals();
    const met = next(late, { kind: "arrive-late", afterMs: 1500 }, 2);
    await expect(late.lease().tryAcquire()).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(met.count).toBe(2);
    const other = dynamodb.freshNode(table);
    await (await other.lease().acquire()).release("done");
    const item = await other.table.get(itemKey.lock("election", clusterId));
    await expect.poll(() => dynamodb.server().lateArrivals(), { timeout: 10_000 }).toBe(before + 2);
    expect(await other.table.get(itemKey.lock("election", clusterId))).toEqual(item);
  });

  it("a record that was rewritten meanwhile stays as it is", async () => {
    const table = await dynamodb.newTable();
    const late = dynamodb.freshNode(table);
    const created = await late.topology.create(recordOf(1, 1));
    if (created.outcome !== "written") throw new Error("not created");
    const before = dynamodb.server().lateArrivals();
    next(late, { kind: "arrive-late", afterMs: 1500 }, 2);
    await expect(late.topology.amend(created.record, { fence: 2 }, { needsHigherFence: true })).rejects.toMatchObject({
      reason: "store-unavailable",
      changed: "It is unknown whether the write took effect.",
    });
    const other = dynamodb.freshNode(table);
    const undone = await other.topology.amend(created.record, { fence: 3 }, { needsHigherFence: true });
    expect(undone.outcome).toBe("written");
    await expect.poll(() => dynamodb.server().lateArrivals(), { timeout: 10_000 }).toBe(before + 2);
    expect(await other.topology.read()).toEqual(undone.outcome === "written" && undone.record);
  });
});
