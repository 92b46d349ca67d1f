import { describe, expect, it } from "vitest";
import { makeBatchReader } from "#node/lib/aws/batch-reader.ts";
import { makeTable } from "#node/lib/aws/table.ts";
import type { Fault } from "./dynamodb-server.ts";
import { useDynamodb } from "./fixture.ts";
import type { Node } from "./node.ts";

const dynamodb = useDynamodb();

/** The node's requests from now on, in their order: what they ask for, and by whom. The first `faults` of them meet with the fault. */
const watch = (node: Node, fault?: Fault, faults = Number.POSITIVE_INFINITY): string[] => {
  const seen: string[] = [];
  dynamodb.server().disturb(({ from, operation, userAgent }) => {
    if (from !== node.address) return undefined;
    seen.push(`${operation} ${userAgent === undefined ? "short" : "sdk"}`);
    return seen.length <= faults ? fault : undefined;
  });
  return seen;
};

/** A node that knows where the store is, its table, and a reader of several items. */
const settled = async () => {
  const name = await dynamodb.newTable();
  const node = dynamodb.freshNode(name);
  await node.table.get("nothing");
  return { node, name, table: node.table, read: makeBatchReader(node.aws, name) };
};

/** One value of each kind that an item of the table may hold. */
const everything = {
  text: "Größe, 大きさ, 🐬",
  empty: "",
  whole: 12,
  large: 9_007_199_254_740_991,
  fraction: 0.5,
  negative: -3,
  yes: true,
  no: false,
  nothing: null,
  list: ["a", 1, { deep: [{ deeper: "b" }] }],
  none: [],
  map: { instance_id: "i-1", incarnation: "x.1.2", count: 2 },
};

describe("calls that go well", () => {
  it("take the short way once it is known where the store is", async () => {
    const node = dynamodb.freshNode(await dynamodb.newTable());
    const seen = watch(node);
    await node.table.update("a", { set: { n: 1 } });
    await node.table.update("a", { set: { n: 2 } });
    await makeBatchReader(node.aws, node.table.name)(["a"]);
    expect(seen).toEqual(["UpdateItem sdk", "UpdateItem short", "BatchGetItem short"]);
  });

  it("write and read what the SDK writes and reads", async () => {
    const { node, table, read } = await settled();
    const seen = watch(node);
    const written = await table.update("short", { set: everything });
    await table.put({ pk: "sdk", ...everything });
    expect(written).toEqual({ written: true, item: { pk: "short", ...everything } });
    expect(await table.get("short")).toEqual({ pk: "short", ...everything });
    const items = await read(["short", "sdk", "missing"]);
    expect(items.get("short")).toEqual({ pk: "short", ...everything });
    expect(items.get("sdk")).toEqual({ pk: "sdk", ...everything });
    expect(items.has("missing")).toBe(false);
    expect(seen).toEqual(["UpdateItem short", "PutItem sdk", "GetItem sdk", "BatchGetItem short"]);
  });

  it("leave out what is undefined, as the SDK does", async () => {
    const { table } = await settled();
    const written = await table.update("a", { set: { map: { there: 1, gone: undefined } } });
    expect(written).toEqual({ written: true, item: { pk: "a", map: { there: 1 } } });
  });
});

describe("a call that does not go well is asked once more, by the SDK", () => {
  it.each([{ kind: "lose-answer" }, { kind: "withhold-answer" }, { kind: "throttle" }] as const)(
    "one answer is lost or refused ($kind): the caller does not notice",
    async (fault) => {
      const { node, table, read } = await settled();
      await table.put({ pk: "a", n: 1 });
      const reading = watch(node, fault, 1);
      expect((await read(["a"])).get("a")).toEqual({ pk: "a", n: 1 });
      expect(reading).toEqual(["BatchGetItem short", "BatchGetItem sdk"]);
    },
  );

  it("everything is throttled: two attempts, then the store is unavailable", async () => {
    const { node, table, read } = await settled();
    const seen = watch(node, { kind: "throttle" });
    await expect(read(["a"])).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(seen).toEqual(["BatchGetItem short", "BatchGetItem sdk"]);
    await expect(table.update("a", { set: { n: 1 } })).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(seen.slice(2)).toEqual(["UpdateItem short", "UpdateItem sdk"]);
  });

  it("a condition does not hold: that is the answer, with the item that is there", async () => {
    const { table } = await settled();
    await table.put({ pk: "a", rvn: "theirs" });
    const result = await table.update("a", { set: { n: 1 } }, { condition: { equals: ["rvn", "mine"] } });
    expect(result).toEqual({ written: false, current: { pk: "a", rvn: "theirs" } });
  });

  it("the table is missing: that is what is said", async () => {
    const { node } = await settled();
    const missing = makeTable(node.aws, "percona-demo-missing-locks");
    await expect(missing.update("a", { set: { n: 1 } })).rejects.toMatchObject({ reason: "table-missing" });
  });
});
