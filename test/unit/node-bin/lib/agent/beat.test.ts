import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextBeat } from "#node/lib/agent/beat.ts";

const intervals = fc.constantFrom(80, 250, 500, 1000, 2000, 10_000);
const times = fc.double({ min: 0, max: 1e9, noNaN: true });
const offsets = fc.constantFrom(0, 40);

describe("the next beat", () => {
  it("is later than now, and no later than a whole interval", () => {
    fc.assert(
      fc.property(times, intervals, offsets, (now, everyMs, afterMs) => {
        const beat = nextBeat(now, everyMs, afterMs);
        expect(beat).toBeGreaterThan(now);
        expect(beat - now).toBeLessThanOrEqual(everyMs);
      }),
    );
  });

  it("is the same for loops that were begun at different times", () => {
    expect(nextBeat(1001, 500, 0)).toBe(1500);
    expect(nextBeat(1499.9, 500, 0)).toBe(1500);
    expect(nextBeat(1400, 250, 0)).toBe(1500);
    expect(nextBeat(100, 10_000, 0) % 500).toBe(0);
  });

  it("of a loop that decides follows that of one that looks", () => {
    expect(nextBeat(1500, 500, 0)).toBe(2000);
    expect(nextBeat(1500, 500, 40)).toBe(1540);
    expect(nextBeat(1541, 500, 40)).toBe(2040);
  });

  it("that is missed is not made up for", () => {
    expect(nextBeat(7777, 500, 0)).toBe(8000);
  });
});
