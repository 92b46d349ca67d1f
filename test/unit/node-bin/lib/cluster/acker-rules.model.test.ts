import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ackerWorld, type Rule, stepOf, type WorldStep } from "./acker-world.ts";

/** How the loss comes about that each rule prevents: three nodes, 0 is the primary, 1 and 2 are listed ackers. */
const losses: [Rule, string, string[]][] = [
  [
    "incarnation",
    "the acker that acknowledged restarts without it, and both are frozen",
    [
      "write",
      "receive 1",
      "deliver 1",
      "crash 0",
      "crash 1 loses",
      "restart 1",
      "attempt 1",
      "freeze 1 1",
      "freeze 1 2",
      "promote 1",
    ],
  ],
  [
    "hold",
    "the acker that acknowledged returns without it, is listed again at once, and the primary dies",
    [
      ...["write", "receive 1", "deliver 1", "crash 1 loses", "restart 1", "read 1", "agent 1", "lead", "lead"],
      ...["crash 0", "attempt 1", "freeze 1 1", "freeze 1 2", "promote 1"],
    ],
  ],
  [
    "quorum",
    "the primary is cut off from one acker, which is promoted, and goes on with the other",
    ["cut 1", "attempt 1", "freeze 1 1", "promote 1", "write", "receive 2", "deliver 2"],
  ],
  [
    "shrink-wait",
    "the acker that acknowledged loses it and is taken off the list before the other has it",
    [
      ...["write", "receive 1", "deliver 1", "crash 1 loses", "lead impatient"],
      ...["crash 0", "attempt 2", "freeze 2 2", "promote 2"],
    ],
  ],
  [
    "listed-only",
    "one that restarted acknowledges without being listed, and the listed one is promoted without it",
    [
      ...["crash 1", "lead impatient", "restart 1", "lead", "read 1", "agent 1", "agent 1"],
      ...["write", "receive 1", "deliver 1", "crash 0", "attempt 2", "freeze 2 2", "promote 2"],
    ],
  ],
  [
    "told-to-stop",
    "one that was told to stop has not read yet that it is off the list, begins again and acknowledges",
    [
      ...["cut 2", "cut 1", "attempt 2", "freeze 2 1", "give-up 2", "heal 1", "heal 2", "new-fence", "read 1"],
      ...["lead impatient", "agent 1", "agent 1", "write", "receive 1", "deliver 1"],
      ...["crash 0", "attempt 2", "freeze 2 2", "promote 2"],
    ],
  ],
  [
    "refuse",
    "one that cannot be asked is taken off the list, reconnects and acknowledges",
    [
      ...["cut 1", "lead impatient", "heal 1", "write", "receive 1", "deliver 1"],
      ...["crash 0", "attempt 2", "freeze 2 2", "promote 2"],
    ],
  ],
  [
    "freeze-stays",
    "both were frozen; one goes on by itself and acknowledges, and the other is promoted from what was seen before",
    [
      ...["cut 2", "cut 1", "attempt 2", "freeze 2 1", "freeze 2 2", "heal 1"],
      ...["read 1", "agent 1", "write", "receive 1", "deliver 1", "promote 2"],
    ],
  ],
];

const run = (nodes: number, steps: readonly WorldStep[], without: readonly Rule[] = []) => {
  const world = ackerWorld(nodes, without);
  for (const step of steps) world.step(step);
  return world;
};

describe("a rule that is left out loses an acknowledged write", () => {
  it.each(losses)("%s: %s", (rule, _how, script) => {
    const steps = script.map(stepOf);
    expect(run(3, steps, [rule]).hasLost()).toBe(true);
    expect(run(3, steps).hasLost()).toBe(false);
  });
});

/** A history of so many steps, each one of those that are possible at the time. */
const walk = (nodes: number, picks: readonly number[], without: readonly Rule[] = []) => {
  const world = ackerWorld(nodes, without);
  for (const pick of picks) {
    const choices = world.choices();
    const step = choices[pick % choices.length];
    if (step) world.step(step);
    if (world.hasLost()) break;
  }
  return world;
};

const picks = fc.array(fc.nat(1_000_000), { minLength: 20, maxLength: 150, size: "max" });

it.each([3, 5])(
  "%i nodes: whatever crashes, is cut off or comes late, no acknowledged write is missing after a promotion",
  (nodes) => {
    let withWrites = 0;
    fc.assert(
      fc.property(picks, (taken) => {
        const world = walk(nodes, taken);
        if (world.promoted() && world.acknowledged() > 0) withWrites += 1;
        expect(world.hasLost()).toBe(false);
      }),
      { numRuns: 1000 },
    );
    // Histories in which nothing was acknowledged or nobody was promoted prove nothing.
    expect(withWrites).toBeGreaterThan(3);
  },
);

it.each<Rule>(["incarnation", "quorum", "shrink-wait", "freeze-stays"])(
  "such histories do find the loss when the rule %s is left out",
  (rule) => {
    const found = fc.check(
      fc.property(picks, (taken) => !walk(3, taken, [rule]).hasLost()),
      { numRuns: 3000, seed: 1, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  },
);
