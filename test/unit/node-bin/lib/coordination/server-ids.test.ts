import { expect, it } from "vitest";
import { firstServerId } from "#contract/server-ids.ts";
import { itemKey } from "#contract/table.ts";
import { allocateServerId, renewServerId } from "#node/lib/coordination/server-ids.ts";
import { answerLost, cutOff, fakeStore, prompt } from "./fake-table.ts";

const instance = (n: number): string => `i-${String(n).padStart(8, "0")}`;

it("the first instance gets the first id, and the same instance the same id again", async () => {
  const table = fakeStore().connect();
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId);
  expect(await allocateServerId(table, "x", instance(2))).toBe(firstServerId + 1);
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId);
});

it("ten nodes that start at once, each asking twice, get ten ids", async () => {
  const store = fakeStore();
  const asked = Array.from({ length: 20 }, (_, n) => allocateServerId(store.connect(), "x", instance(n % 10)));
  const ids = await Promise.all(asked);
  expect(new Set(ids).size).toBe(10);
  expect(ids.slice(0, 10)).toEqual(ids.slice(10));
});

it("a lost answer costs no id: the write is recognised", async () => {
  const store = fakeStore();
  const fates = [prompt, answerLost];
  const table = store.connect(() => fates.shift() ?? prompt);
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId);
  expect(await allocateServerId(table, "x", instance(2))).toBe(firstServerId + 1);
});

it("an allocation that took effect without anyone knowing is found by the next call", async () => {
  const store = fakeStore();
  const fates = [prompt, answerLost, cutOff];
  const table = store.connect(() => fates.shift() ?? prompt);
  await expect(allocateServerId(table, "x", instance(1))).rejects.toMatchObject({ reason: "store-unavailable" });
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId);
  expect(store.items.get(itemKey.serverIds("x"))).toMatchObject({ next: firstServerId + 1 });
});

it("an id is not given again after its instance was taken out of the list by hand", async () => {
  const store = fakeStore();
  const table = store.connect();
  await allocateServerId(table, "x", instance(1));
  store.items.set(itemKey.serverIds("x"), { pk: itemKey.serverIds("x"), next: firstServerId + 1, ids: {} });
  expect(await allocateServerId(table, "x", instance(2))).toBe(firstServerId + 1);
});

it("an instance whose data are replaced gets another id, which it keeps; nobody gets the old one", async () => {
  const table = fakeStore().connect();
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId);
  expect(await renewServerId(table, "x", instance(1))).toBe(firstServerId + 1);
  expect(await allocateServerId(table, "x", instance(1))).toBe(firstServerId + 1);
  expect(await allocateServerId(table, "x", instance(2))).toBe(firstServerId + 2);
});
