import { describe, expect, it } from "vitest";
import { watchPrimary } from "#node/lib/bootstrap/primary-watch.ts";
import type { Lease, LeaseView } from "#node/lib/coordination/lease.ts";
import { record } from "../cluster/samples.ts";

/** A watch over a lease of 3 s that the test moves by hand. */
const scene = () => {
  let now = 0;
  let view: Pick<LeaseView, "state" | "unchangedMs"> = { state: "free", unchangedMs: 0 };
  const lease = { observe: async () => ({ ...view, leaseMs: 3000, item: undefined }) } as unknown as Lease;
  const watch = watchPrimary(lease, () => now);
  return {
    at: (time: number, seen: typeof view, fence = 5) => {
      now = time;
      view = seen;
      return watch.look(record({ phase: "forming", fence }));
    },
  };
};

describe("whether the recorded primary is alive", () => {
  it("gives a primary that was recorded a moment ago time to take its lease, though nobody held it for long", async () => {
    const { at } = scene();
    expect(await at(10_000, { state: "free", unchangedMs: 9000 })).toBe("watching");
    expect(await at(12_999, { state: "free", unchangedMs: 11_999 })).toBe("watching");
    expect(await at(13_000, { state: "free", unchangedMs: 12_000 })).toBe("stale");
  });

  it("begins to count anew when the record gets another fence", async () => {
    const { at } = scene();
    await at(0, { state: "free", unchangedMs: 0 });
    expect(await at(3000, { state: "free", unchangedMs: 3000 }, 6)).toBe("watching");
    expect(await at(6000, { state: "free", unchangedMs: 6000 }, 6)).toBe("stale");
  });

  it("counts a lease that is renewed as alive, and one that is not renewed as stale", async () => {
    const { at } = scene();
    expect(await at(0, { state: "held", unchangedMs: 0 })).toBe("live");
    expect(await at(5000, { state: "held", unchangedMs: 900 })).toBe("live");
    expect(await at(8000, { state: "stale", unchangedMs: 3000 })).toBe("stale");
  });
});
