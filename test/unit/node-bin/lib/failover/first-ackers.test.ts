import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { firstAckers } from "#node/lib/failover/first-ackers.ts";
import { n1, n2, n3 } from "../cluster/samples.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const applied = (instanceId: string, afterMs: number, incarnation: string | undefined = "inc-1") => ({
  instanceId,
  applied: new Promise<{ incarnation?: string; executed_gtid_set: string }>((resolve) => {
    setTimeout(
      () => resolve({ executed_gtid_set: "", ...(incarnation === undefined ? {} : { incarnation }) }),
      afterMs,
    );
  }),
});
const never = (instanceId: string) => ({ instanceId, applied: new Promise<never>(() => {}) });
const fails = (instanceId: string) => {
  const work = Promise.reject(new Error("timed out"));
  work.catch(() => {});
  return { instanceId, applied: work };
};
/** Who is found, and after how long. */
const found = async (followers: Parameters<typeof firstAckers>[0], needed: number) => {
  const began = Date.now();
  let took: number | undefined;
  const work = firstAckers(followers, needed).finally(() => {
    took = Date.now() - began;
  });
  for (let step = 0; step < 4000 && took === undefined; step += 1) await vi.advanceTimersByTimeAsync(1);
  return { ids: (await work).map(({ instance_id }) => instance_id), took };
};

describe("the first ackers of a new primary", () => {
  it("all who have applied everything, without waiting longer than for the last of them", async () => {
    expect(await found([applied(n1, 5), applied(n2, 9)], 1)).toEqual({ ids: [n1, n2], took: 9 });
  });

  it("once there are enough, the rest is waited for only a moment", async () => {
    const { ids, took } = await found([applied(n1, 5), never(n2), applied(n3, 10)], 1);
    expect(ids).toEqual([n1, n3]);
    expect(took).toBeLessThan(50);
  });

  it("with too few it waits longer: without them the new primary would acknowledge nothing", async () => {
    const { ids, took } = await found([applied(n1, 700), never(n2)], 1);
    expect(ids).toEqual([n1]);
    expect(took).toBeGreaterThanOrEqual(700);
  });

  it("but not for ever", async () => {
    const { ids, took } = await found([never(n1), never(n2)], 1);
    expect(ids).toEqual([]);
    expect(took).toBeLessThan(3000);
  });

  it("who cannot apply it is none, and is not waited for", async () => {
    expect(await found([fails(n1), applied(n2, 5)], 2)).toEqual({ ids: [n2], took: 5 });
  });

  it("whose incarnation nobody knows is none: it could not be told from one that restarted", async () => {
    const unknown = { instanceId: n1, applied: Promise.resolve({ executed_gtid_set: "" }) };
    expect((await found([unknown, applied(n2, 1, "inc-7")], 1)).ids).toEqual([n2]);
  });

  it("with the incarnation in which they applied it", async () => {
    const work = firstAckers([applied(n1, 1, "inc-7")], 1);
    await vi.advanceTimersByTimeAsync(50);
    expect(await work).toEqual([{ instance_id: n1, incarnation: "inc-7" }]);
  });

  it("who comes too late is not put into what was answered already", async () => {
    const work = firstAckers([applied(n1, 1), applied(n2, 2000)], 1);
    await vi.advanceTimersByTimeAsync(100);
    const answered = await work;
    await vi.advanceTimersByTimeAsync(5000);
    expect(answered).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("nobody else is there", async () => {
    expect(await found([], 1)).toEqual({ ids: [], took: 0 });
  });
});
