import { expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { fencedTable } from "#node/lib/coordination/fenced-table.ts";
import { fakeStore } from "./fake-table.ts";

const holder = (fence: number, lost = false) => ({
  fence,
  assertHeld: () => {
    if (lost) throw new Failure("lock-lost", { message: "lost" });
  },
});

it("the holder writes, and its fence goes into the item", async () => {
  const store = fakeStore();
  const table = fencedTable(store.connect(), holder(3));
  await table.put({ pk: "p", sequence: 1 });
  await table.update("p", { set: { sequence: 2 } }, { condition: { equals: ["sequence", 1] } });
  expect(store.items.get("p")).toEqual({ pk: "p", sequence: 2, fence: 3 });
});

it("once a successor wrote, the old holder is refused although it believes that it still holds the lease", async () => {
  const store = fakeStore();
  await fencedTable(store.connect(), holder(4)).put({ pk: "p", sequence: 7 });
  const stale = fencedTable(store.connect(), holder(3));
  await expect(stale.put({ pk: "p", sequence: 1 })).rejects.toMatchObject({ reason: "lock-lost" });
  await expect(stale.update("p", { set: { sequence: 1 } })).rejects.toMatchObject({ reason: "lock-lost" });
  expect(store.items.get("p")).toEqual({ pk: "p", sequence: 7, fence: 4 });
});

it("a holder that knows of its loss does not even ask the store", async () => {
  const store = fakeStore();
  const table = fencedTable(store.connect(), holder(3, true));
  await expect(table.put({ pk: "p" })).rejects.toMatchObject({ reason: "lock-lost" });
  expect(store.items.size).toBe(0);
});

it("another condition that does not hold is an answer", async () => {
  const store = fakeStore();
  const table = fencedTable(store.connect(), holder(3));
  await table.put({ pk: "p", sequence: 1 });
  expect(await table.put({ pk: "p", sequence: 2 }, { condition: { absent: "pk" } })).toMatchObject({ written: false });
});
