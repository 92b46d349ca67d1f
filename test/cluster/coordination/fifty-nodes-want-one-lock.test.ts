import { expect, it } from "vitest";
import type { Item, Table } from "#node/lib/aws/table.ts";
import { useDynamodb } from "./fixture.ts";

const dynamodb = useDynamodb();
const rounds = 200;
const contenders = 50;
const connectedNodes = 10;
const hour = 3_600_000;

const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((item) => ({ item, rank: Math.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);

it("fifty nodes, two hundred rounds: one winner in each, every fence above the last, whatever their wall clocks say", async () => {
  process.env.AWS_ENDPOINT_URL = dynamodb.server().directEndpoint;
  const tableName = await dynamodb.newTable();
  // In each round all have read the same before the first of them writes, so that every write of the fifty has a chance.
  let reading: Promise<Item | undefined> | undefined;
  let writes = 0;
  const atOnce = (table: Table): Table => ({
    ...table,
    get: (pk) => {
      reading ??= table.get(pk);
      return reading;
    },
    update: (...call) => {
      writes += 1;
      return table.update(...call);
    },
  });
  const nodes = Array.from({ length: connectedNodes }, (_, n) => dynamodb.node(n + 1, tableName));
  const leases = Array.from({ length: contenders }, (_, n) => {
    const node = nodes[n % connectedNodes];
    if (!node) throw new Error("no node");
    // Wall clocks that are up to two days off, differently at each look.
    const wallClock = () => new Date(Date.now() + (Math.random() - 0.5) * 96 * hour);
    return { owner: `i-${n}`, lease: node.lease({ owner: `i-${n}`, table: atOnce(node.table), wallClock }) };
  });
  let last = 0;
  const winners = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    reading = undefined;
    const tries = shuffled(leases).map(async ({ owner, lease }) => ({ owner, grant: await lease.tryAcquire() }));
    const won = (await Promise.all(tries)).flatMap(({ owner, grant }) => (grant ? [{ owner, grant }] : []));
    expect(won, `round ${round}`).toHaveLength(1);
    for (const { owner, grant } of won) {
      expect(grant.fence).toBe(last + 1);
      last = grant.fence;
      winners.add(owner);
      expect(await grant.release("next round")).toBe("released");
    }
  }
  expect(writes).toBe(rounds * (contenders + 1));
  expect(winners.size).toBeGreaterThan(contenders / 2);
});
