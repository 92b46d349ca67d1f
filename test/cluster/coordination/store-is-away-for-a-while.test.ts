import { describe, expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import type { Grant, Lease } from "#node/lib/coordination/lease.ts";
import { pause } from "#node/lib/host/wait.ts";
import type { Fault } from "./dynamodb-server.ts";
import { useDynamodb } from "./fixture.ts";

const dynamodb = useDynamodb();
const { leaseMs } = leaseTimings.short;

/** From `fromMs` after now for `forMs`, what comes from the address meets with the fault. */
const away = (address: string, fault: Fault, fromMs: number, forMs: number): void => {
  const began = performance.now() + fromMs;
  dynamodb.server().disturb(({ from }) => {
    const since = performance.now() - began;
    return from === address && since >= 0 && since < forMs ? fault : undefined;
  });
};

/** A second node that takes the lease as soon as it may; what it got, and when. */
const waitFor = (
  lease: Lease,
): { readonly stop: AbortController; readonly taken: Promise<{ grant: Grant; at: number } | undefined> } => {
  const stop = new AbortController();
  const taken = lease.acquire({ signal: stop.signal }).then(
    (grant) => ({ grant, at: performance.now() }),
    () => undefined,
  );
  return { stop, taken };
};

describe.concurrent("the holder cannot reach the store", () => {
  it.each([
    { fault: { kind: "swallow" }, forMs: 900, seen: "nothing is answered" },
    { fault: { kind: "throttle" }, forMs: 900, seen: "everything is throttled" },
    { fault: { kind: "lose-answer" }, forMs: 900, seen: "every answer is lost" },
  ] as const)(
    "for shorter than the lease ($seen for $forMs ms): it keeps the lease, nobody else gets it",
    async ({ fault, forMs }) => {
      const table = await dynamodb.newTable();
      const holder = dynamodb.freshNode(table);
      const grant = await holder.lease().acquire();
      grant.startRenewing();
      const { stop, taken } = waitFor(dynamodb.freshNode(table).lease());
      away(holder.address, fault, 500, forMs);
      await pause(2 * leaseMs);
      stop.abort();
      expect(await taken).toBeUndefined();
      expect(grant.held()).toBe(true);
      expect(grant.signal.aborted).toBe(false);
      await grant.release("end of the test");
    },
  );

  it.each([
    { fault: { kind: "swallow" }, seen: "nothing is answered" },
    { fault: { kind: "throttle" }, seen: "everything is throttled" },
  ] as const)(
    "for longer than the lease ($seen): it knows before another has it, and stays refused",
    async ({ fault }) => {
      const table = await dynamodb.newTable();
      const holder = dynamodb.freshNode(table);
      const grant = await holder.lease().acquire();
      grant.startRenewing();
      let lostAt = Number.POSITIVE_INFINITY;
      grant.signal.addEventListener("abort", () => {
        lostAt = performance.now();
      });
      const { taken } = waitFor(dynamodb.freshNode(table).lease());
      away(holder.address, fault, 500, 2 * leaseMs);
      const successor = await taken;
      expect(successor?.grant.fence).toBe(grant.fence + 1);
      expect(lostAt).toBeLessThan(successor?.at ?? 0);
      await pause(500 + 2 * leaseMs - leaseMs);
      await expect(grant.renewNow()).rejects.toMatchObject({ reason: "lock-lost" });
      expect(await grant.release("late")).toBe("lost");
      await successor?.grant.release("end of the test");
    },
  );
});

it("a store that throttles for a moment delays a candidate and costs nothing else", async () => {
  const table = await dynamodb.newTable();
  const node = dynamodb.freshNode(table);
  let throttled = 0;
  dynamodb.server().disturb(({ from }) => {
    if (from !== node.address) return undefined;
    throttled += 1;
    return throttled <= 7 ? { kind: "throttle" } : undefined;
  });
  const grant = await node.lease().acquire({ deadlineMs: 20_000 });
  expect(grant.fence).toBe(1);
  expect(throttled).toBeGreaterThan(7);
});
