import { describe, expect, it } from "vitest";
import type { OperationRecord } from "#contract/operation.ts";
import { keepRecord } from "#node/lib/operation/record-keeper.ts";
import { answerLost, cutOff } from "../coordination/fake-table.ts";
import { fakeJournal } from "./fake-journal.ts";

const me = "i-00000000000000002";
const at = "2026-11-21T00:00:05.000Z";

const setup = async () => {
  const fake = fakeJournal();
  const record = await fake.created({ state: "running", node: me });
  const warnings: string[] = [];
  const keeper = keepRecord({
    record,
    journal: fake.journal,
    now: () => new Date(at),
    log: { warn: (line) => void warnings.push(line) },
  });
  const stored = async (): Promise<OperationRecord> => (await fake.others.read("op-1")) as OperationRecord;
  const stateOf = async (step: string): Promise<string | undefined> =>
    (await stored()).steps.find(({ name }) => name === step)?.state;
  /** Another process changes the record meanwhile. */
  const another = async (change: Partial<OperationRecord>): Promise<void> => {
    const result = await fake.others.replace(await stored(), change);
    if (!result.written) throw new Error("not written");
  };
  return { ...fake, keeper, record, warnings, stored, stateOf, another };
};

describe("the record of a running operation", () => {
  it("has each step before and after it", async () => {
    const { keeper, stateOf, stored } = await setup();
    await keeper.began("drain", true);
    expect(await stateOf("drain")).toBe("running");
    await keeper.done("drain", 12.3456, "3 of 3 nodes", true);
    expect((await stored()).steps[0]).toEqual({
      name: "drain",
      description: "drain",
      state: "done",
      started_at: at,
      duration_ms: 12.3,
      detail: "3 of 3 nodes",
    });
    await keeper.failed("record", "refused");
    expect((await stored()).steps[1]).toMatchObject({ state: "failed", detail: "refused" });
    await keeper.undone("drain");
    expect(await stateOf("drain")).toBe("undone");
  });

  it("what is not waited for is stored all the same, and all of it once it is settled", async () => {
    const { keeper, stateOf } = await setup();
    await keeper.began("drain", false);
    await keeper.done("drain", 1, undefined, false);
    await keeper.began("record", false);
    await keeper.done("record", 1, undefined, false);
    await keeper.settled();
    expect([await stateOf("drain"), await stateOf("record")]).toEqual(["done", "done"]);
  });

  it("many changes at once are few writes, one after the other, and none is lost", async () => {
    const { journal, record, stored } = await setup();
    let underWay = 0;
    let writes = 0;
    const slow = {
      ...journal,
      replace: async (...given: Parameters<typeof journal.replace>) => {
        underWay += 1;
        writes += 1;
        expect(underWay).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        underWay -= 1;
        return journal.replace(...given);
      },
    };
    const keeper = keepRecord({ record, journal: slow, now: () => new Date(at), log: { warn: () => {} } });
    await Promise.all([
      keeper.began("drain", true),
      keeper.change({ heartbeat_at: at }),
      keeper.change({ topology_fence: 7 }),
      keeper.began("record", true),
      keeper.began("open", true),
    ]);
    expect(await stored()).toMatchObject({ heartbeat_at: at, topology_fence: 7 });
    expect((await stored()).steps.map(({ state }) => state)).toEqual(["running", "running", "running"]);
    expect(writes).toBe(2);
  });

  it("what is asked of it is what is stored", async () => {
    const { keeper, stored } = await setup();
    await keeper.change({ topology_fence: 7 });
    const { rvn: _, ...now } = keeper.current();
    expect(await stored()).toMatchObject(now);
  });
});

describe("a person asks for the end", () => {
  it("the next write finds it, keeps it, and loses nothing of its own", async () => {
    const { another, keeper, stored } = await setup();
    expect(keeper.abortRequested()).toBeUndefined();
    await another({ abort_requested_at: at, abort_requested_by: "run 7" });
    await keeper.began("drain", true);
    expect(keeper.abortRequested()).toBe("run 7");
    expect(await stored()).toMatchObject({ abort_requested_at: at, abort_requested_by: "run 7" });
    expect((await stored()).steps[0]?.state).toBe("running");
    await keeper.change({ heartbeat_at: at });
    expect(await stored()).toMatchObject({ heartbeat_at: at, abort_requested_by: "run 7" });
  });

  it("one that was asked before the runner began is known at once", async () => {
    const { journal } = await setup();
    const record = (await journal.read("op-1")) as OperationRecord;
    const keeper = keepRecord({
      record: { ...record, abort_requested_at: at },
      journal,
      now: () => new Date(at),
      log: { warn: () => {} },
    });
    expect(keeper.abortRequested()).toBe("a person");
  });
});

describe("another runs the operation", () => {
  it.each([
    ["another node took it", { node: "i-00000000000000003" }],
    ["it was begun again under the same id", { attempt: 2 }],
  ])("%s: nothing is written over it", async (_name, change) => {
    const { another, keeper, stored } = await setup();
    await another(change);
    await expect(keeper.began("drain", true)).rejects.toMatchObject({ reason: "lock-lost" });
    expect(await stored()).toMatchObject(change);
    expect((await stored()).steps[0]?.state).toBe("pending");
  });

  it("the record is gone: it is not made again", async () => {
    const { keeper, store } = await setup();
    store.items.clear();
    await expect(keeper.change({ heartbeat_at: at })).rejects.toMatchObject({ reason: "lock-lost" });
    expect(store.items.size).toBe(0);
  });
});

describe("the store does not answer", () => {
  it("who waits is told; what was to be stored is in the next write", async () => {
    const { fates, keeper, stateOf, stored } = await setup();
    fates.now = cutOff;
    await expect(keeper.began("drain", true)).rejects.toMatchObject({ reason: "store-unavailable" });
    fates.now = { effectAfter: 0, answerAfter: 0, answered: true };
    await keeper.change({ heartbeat_at: at });
    expect(await stateOf("drain")).toBe("running");
    expect(await stored()).toMatchObject({ heartbeat_at: at });
  });

  it("who does not wait goes on, and the log says so", async () => {
    const { fates, keeper, warnings } = await setup();
    fates.now = cutOff;
    await keeper.began("drain", false);
    await keeper.failed("drain", "no reason");
    await keeper.undone("drain");
    await keeper.settled();
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings.join()).toMatch(/journal could not be written/);
  });

  it("a write whose answer was lost, and whose version nobody could read, is written over and not taken for another's", async () => {
    const { fates, keeper, stateOf } = await setup();
    fates.next = [answerLost, cutOff];
    await expect(keeper.began("drain", true)).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(await stateOf("drain")).toBe("running");
    await keeper.done("drain", 1, undefined, true);
    expect(await stateOf("drain")).toBe("done");
  });
});
