import { expect, it, onTestFinished } from "vitest";
import { itemKey } from "#contract/table.ts";
import { allocateServerId } from "#node/lib/coordination/server-ids.ts";
import { useDynamodb } from "./fixture.ts";
import { clusterId } from "./node.ts";

const dynamodb = useDynamodb();
/** Short, so that many rounds fit. */
const timings = { leaseMs: 300, renewEveryMs: 100, observeEveryMs: 50 };

it("a holder dies twenty times: each time one of two candidates has the lease, with the next fence, not before its length", async () => {
  const table = await dynamodb.newTable();
  const [dead, ...candidates] = [1, 2, 3].map((n) => dynamodb.node(n, table).lease({ timings }));
  for (let round = 0; round < 20; round += 1) {
    const before = await dead?.acquire();
    const stop = new AbortController();
    const diedAt = performance.now();
    const races = candidates.map((candidate) => candidate.acquire({ signal: stop.signal }).catch(() => undefined));
    const winner = await Promise.race(races);
    expect(performance.now() - diedAt).toBeGreaterThanOrEqual(timings.leaseMs);
    winner?.startRenewing();
    // The other one looks on for a while, and gets nothing as long as the winner renews.
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop.abort();
    const grants = (await Promise.all(races)).filter((grant) => grant !== undefined);
    expect(grants).toHaveLength(1);
    expect(winner?.fence).toBe((before?.fence ?? 0) + 1);
    expect(await winner?.release("next round")).toBe("released");
  }
});

it("the recorded primary takes its lease from a holder that goes on renewing", async () => {
  const table = await dynamodb.newTable();
  const pk = itemKey.primaryLease(clusterId);
  const displaced = await dynamodb.node(1, table).lease({ pk }).acquire();
  displaced.startRenewing();
  const primary = await dynamodb.node(2, table).lease({ pk }).acquire({ force: true, deadlineMs: 5000 });
  expect(primary.fence).toBe(displaced.fence + 1);
  await expect.poll(() => displaced.signal.aborted, { timeout: 5000 }).toBe(true);
  await primary.renewNow();
  await primary.release("end of the test");
});

it("ten nodes that boot at once get ten server ids, although every third answer is lost", async () => {
  const table = await dynamodb.newTable();
  let writes = 0;
  onTestFinished(
    dynamodb.server().disturb(({ operation }) => {
      if (operation !== "PutItem") return undefined;
      writes += 1;
      return writes % 3 === 0 ? { kind: "lose-answer" } : undefined;
    }),
  );
  const ids = await Promise.all(
    Array.from({ length: 10 }, (_, n) => {
      const node = dynamodb.node(n + 1, table);
      return allocateServerId(node.table, clusterId, node.instanceId);
    }),
  );
  expect(new Set(ids).size).toBe(10);
  expect((await dynamodb.node(1, table).table.get(itemKey.serverIds(clusterId)))?.next).toBe(Math.max(...ids) + 1);
  expect(Math.max(...ids) - Math.min(...ids)).toBe(9);
});
