import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../chaos/prng.ts";
import { faultKinds, type Round, type ScheduleOptions, schedule } from "../../chaos/schedule.ts";

const first = (count: number, options: ScheduleOptions): Round[] => Array.from(schedule(options).take(count));

const all = { nodes: 3, kinds: faultKinds } as const;

describe("a schedule", () => {
  it("is the same for the same seed, and another for another", () => {
    expect(first(50, { seed: 7, ...all })).toEqual(first(50, { seed: 7, ...all }));
    expect(first(50, { seed: 7, ...all })).not.toEqual(first(50, { seed: 8, ...all }));
  });

  it("rests on numbers that are the same everywhere, so that a seed in an old report still means something", () => {
    const random = seededRandom(1);
    expect([1, 2, 3, 4].map(() => random.between(0, 1000))).toEqual([367, 81, 820, 701]);
  });

  it("takes no more than one node away at a time, except where all replicas go", () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(3, 5), (seed, nodes) => {
        for (const { faults } of first(40, { seed, nodes, kinds: faultKinds })) {
          if (faults.some(({ kind }) => kind === "replicas-killed" || kind === "replicas-stopped")) {
            expect(faults).toHaveLength(1);
            continue;
          }
          // DynamoDB away is no node that is down.
          const down = faults.filter(({ kind }) => !kind.endsWith("-store")).flatMap(({ victims }) => victims);
          expect(new Set(down).size).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("names victims that are there, and heals after 1 to 15 s", () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(3, 5), (seed, nodes) => {
        for (const { faults } of first(40, { seed, nodes, kinds: faultKinds })) {
          for (const { victims, forMs } of faults) {
            expect(victims.every((victim) => victim >= 0 && victim < nodes)).toBe(true);
            expect(forMs === 0 || (forMs >= 1000 && forMs <= 15_000)).toBe(true);
          }
        }
      }),
    );
  });

  it("has every kind, the primary as victim more often than not, and nothing that was not asked for", () => {
    const faults = first(2000, { seed: 3, ...all }).flatMap((round) => round.faults);
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(faultKinds));
    const kills = faults.filter(({ kind }) => kind === "kill-node");
    expect(kills.filter(({ victims }) => victims[0] === 0).length).toBeGreaterThan(kills.length / 2);
    const only = first(200, { seed: 3, nodes: 3, kinds: ["kill-node", "switchover"] }).flatMap((round) => round.faults);
    expect(new Set(only.map(({ kind }) => kind))).toEqual(new Set(["kill-node", "switchover"]));
  });

  it("needs something to choose from", () => {
    expect(() => first(1, { seed: 1, nodes: 3, kinds: [] })).toThrow(RangeError);
  });
});
