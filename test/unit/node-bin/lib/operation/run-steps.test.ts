import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { runSteps, type StepRun, undoSteps } from "#node/lib/operation/run-steps.ts";
import { type Step, type StopPoint, stopPointName, stopPoints } from "#node/lib/operation/step.ts";

interface Shape {
  readonly name: string;
  readonly undo: boolean;
  readonly inWindow?: boolean;
  readonly pivot?: boolean;
}

/** Two steps with an undo, one that changes nothing, the point of no return, and two after it. */
const shapes: readonly Shape[] = [
  { name: "drain", undo: true },
  { name: "demote", undo: true, inWindow: true },
  { name: "catch-up", undo: false, inWindow: true },
  { name: "record", undo: false, inWindow: true, pivot: true },
  { name: "open", undo: false, inWindow: true },
  { name: "route", undo: false },
];

interface Faults {
  /** Asked at every point; throws where the run is to be stopped. */
  readonly at?: (point: StopPoint) => void;
  readonly apply?: (name: string) => void;
  readonly undo?: (name: string) => void;
  readonly guard?: (isPast: boolean) => void;
  readonly isPast?: () => boolean | Promise<boolean>;
  readonly isSuperseded?: () => boolean;
  readonly began?: (name: string, wait: boolean) => void;
}

/** Steps that say what they did, and what was done to the world: the effects that are in force. */
const setup = (of: readonly Shape[] = shapes, faults: Faults = {}) => {
  const did: string[] = [];
  const journal: string[] = [];
  const effects = new Set<string>();
  const sleeps: number[] = [];
  const steps = of.map(
    ({ inWindow = false, name, pivot = false, undo }): Step<Set<string>> => ({
      name,
      description: name,
      inWindow,
      pointOfNoReturn: pivot,
      apply: async (c) => {
        did.push(`apply ${name}`);
        faults.apply?.(name);
        c.add(name);
        return `${name} took effect`;
      },
      ...(undo && {
        undo: async (c) => {
          did.push(`undo ${name}`);
          faults.undo?.(name);
          c.delete(name);
        },
      }),
    }),
  );
  const pivotName = of.find(({ pivot }) => pivot)?.name ?? "";
  let time = 0;
  const run: StepRun<Set<string>> = {
    steps,
    context: effects,
    journal: {
      began: async (name, wait) => {
        journal.push(`began ${name}${wait ? "" : " meanwhile"}`);
        faults.began?.(name, wait);
      },
      done: async (name, _ms, detail, wait) => void journal.push(`done ${name}${wait ? "" : " meanwhile"}: ${detail}`),
      failed: async (name, because) => void journal.push(`failed ${name}: ${because}`),
      undone: async (name) => void journal.push(`undone ${name}`),
    },
    guard: (isPast) => faults.guard?.(isPast),
    isPast: async () => faults.isPast?.() ?? effects.has(pivotName),
    isSuperseded: async () => faults.isSuperseded?.() ?? true,
    now: () => (time += 1.5),
    sleep: async (ms) => void sleeps.push(ms),
    stopAt: async (point) => faults.at?.(point),
    log: { info: () => {}, warn: () => {} },
  };
  return { run, did, journal, effects, sleeps };
};

const once = (name: string): ((point: StopPoint) => void) => {
  let thrown = false;
  return (point) => {
    if (thrown || stopPointName(point) !== name) return;
    thrown = true;
    throw new Error(`stopped ${name}`);
  };
};
const lost = (reason: "lock-lost" | "superseded"): Failure => new Failure(reason, { message: reason });

describe("steps that all succeed", () => {
  it("are applied in their order, and the journal has each before and after it", async () => {
    const { did, effects, journal, run } = setup();
    expect(await runSteps(run)).toEqual({ outcome: "done" });
    expect(did).toEqual(shapes.map(({ name }) => `apply ${name}`));
    expect([...effects]).toEqual(shapes.map(({ name }) => name));
    expect(journal.filter((line) => line.includes("drain"))).toEqual(["began drain", "done drain: drain took effect"]);
  });

  it("while clients cannot write nobody waits for the journal", async () => {
    const { journal, run } = setup();
    await runSteps(run);
    const meanwhile = journal.filter((line) => line.includes("meanwhile")).map((line) => line.split(" ")[1]);
    expect(new Set(meanwhile)).toEqual(new Set(shapes.filter((s) => s.inWindow).map(({ name }) => name)));
  });

  it("may be begun in the middle, where a dead runner left them", async () => {
    const { did, run } = setup();
    expect(await runSteps(run, 4)).toEqual({ outcome: "done" });
    expect(did).toEqual(["apply open", "apply route"]);
  });
});

/** The point of no return is passed once its effect is there. */
const before = [
  "before drain",
  "after drain",
  "before demote",
  "after demote",
  "before catch-up",
  "after catch-up",
  "before record",
];
const after = ["after record", "before open", "after open", "before route", "after route"];

describe("wherever it is stopped", () => {
  it("these are all the points there are", () => {
    expect(stopPoints(shapes).map(stopPointName)).toEqual([...before, ...after]);
  });

  it.each(before)("%s: what was begun is undone, the last first, and nothing else is touched", async (point) => {
    const { did, effects, journal, run } = setup(shapes, { at: once(point) });
    const outcome = await runSteps(run);
    expect(outcome).toMatchObject({ outcome: "undone", error: { message: `stopped ${point}` } });
    const began = journal.filter((line) => line.startsWith("began")).map((line) => line.split(" ")[1]);
    const toUndo = shapes
      .filter(({ name, undo }) => undo && began.includes(name))
      .map(({ name }) => name)
      .reverse();
    expect(did.filter((line) => line.startsWith("undo"))).toEqual(toUndo.map((name) => `undo ${name}`));
    expect(journal.filter((line) => line.startsWith("undone"))).toEqual(toUndo.map((name) => `undone ${name}`));
    expect(journal).toContain(`failed ${point.split(" ")[1]}: stopped ${point}`);
    for (const { name, undo } of shapes) if (undo) expect(effects.has(name)).toBe(false);
    expect(effects.has("record")).toBe(false);
  });

  it.each(after)("%s: it goes forward to its end, and nothing is undone", async (point) => {
    const { did, effects, run } = setup(shapes, { at: once(point) });
    expect(await runSteps(run)).toEqual({ outcome: "done" });
    expect(did.filter((line) => line.startsWith("undo"))).toEqual([]);
    expect([...effects]).toEqual(shapes.map(({ name }) => name));
  });

  it("the same holds for every list of steps and every point of it", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ undo: fc.boolean(), inWindow: fc.boolean() }), { minLength: 1, maxLength: 7 }),
        fc.nat(),
        fc.nat(),
        async (some, where, which) => {
          const pivot = where % some.length;
          const list = some.map(
            (shape, i): Shape => ({
              ...shape,
              name: `s${i}`,
              pivot: i === pivot,
              undo: i < pivot && shape.undo,
            }),
          );
          const points = stopPoints(list);
          const index = which % points.length;
          const { did, effects, run } = setup(list, { at: once(stopPointName(points[index] as StopPoint)) });
          const outcome = await runSteps(run);
          if (index <= 2 * pivot) {
            expect(outcome.outcome).toBe("undone");
            const reached = Math.floor(index / 2);
            const undone = list.filter(({ undo }, i) => undo && i <= reached).reverse();
            expect(did.filter((line) => line.startsWith("undo"))).toEqual(undone.map(({ name }) => `undo ${name}`));
          } else {
            expect(outcome.outcome).toBe("done");
            expect(effects.size).toBe(list.length);
          }
        },
      ),
    );
  });
});

describe("the point of no return itself", () => {
  it("failed, but the authority says that it took effect: forward", async () => {
    const { did, run } = setup(shapes, {
      isPast: () => true,
      apply: (name) => {
        if (name === "record") throw new Error("the answer was lost");
      },
    });
    expect(await runSteps(run)).toEqual({ outcome: "done" });
    expect(did.at(-1)).toBe("apply route");
  });

  it("failed, and the authority says that it did not take effect: back", async () => {
    const { did, run } = setup(shapes, {
      isPast: () => false,
      apply: (name) => {
        if (name === "record") throw new Error("refused");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "undone", error: { message: "refused" } });
    expect(did.slice(-2)).toEqual(["undo demote", "undo drain"]);
  });

  it("failed while the authority does not answer: nothing is called undone before it has said which it is", async () => {
    let asked = 0;
    const { did, run } = setup(shapes, {
      isPast: () => {
        asked += 1;
        if (asked < 3) throw new Failure("store-unavailable", { message: "DynamoDB did not answer." });
        return true;
      },
      apply: (name) => {
        if (name === "record") throw new Failure("store-unavailable", { message: "DynamoDB did not answer." });
      },
    });
    expect(await runSteps(run)).toEqual({ outcome: "done" });
    expect(did.filter((line) => line.startsWith("undo"))).toEqual([]);
  });

  it("failed, the authority never answers, and the lock is lost meanwhile: another finds out", async () => {
    let guarded = 0;
    const { did, run } = setup(shapes, {
      isPast: () => {
        throw new Failure("store-unavailable", { message: "DynamoDB did not answer." });
      },
      guard: () => {
        guarded += 1;
        if (guarded > 8) throw lost("lock-lost");
      },
      apply: (name) => {
        if (name === "record") throw new Failure("store-unavailable", { message: "DynamoDB did not answer." });
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "superseded", error: { reason: "lock-lost" } });
    expect(did.filter((line) => line.startsWith("undo"))).toEqual([]);
  });
});

describe("after the point of no return", () => {
  it("a step is tried again until it succeeds", async () => {
    let tries = 0;
    const { did, run, sleeps } = setup(shapes, {
      apply: (name) => {
        if (name === "open" && ++tries < 5) throw new Error("not yet");
      },
    });
    expect(await runSteps(run)).toEqual({ outcome: "done" });
    expect(did.filter((line) => line === "apply open")).toHaveLength(5);
    expect(sleeps).toHaveLength(4);
  });

  it("one that never succeeds ends the operation as failed, not as undone, and says which it was", async () => {
    const { did, journal, run } = setup(shapes, {
      apply: (name) => {
        if (name === "open") throw new Error("never");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "failed", past: true, error: { message: "never" } });
    expect(journal.at(-1)).toBe("failed open: never");
    expect(did.some((line) => line.startsWith("undo"))).toBe(false);
    expect(did).not.toContain("apply route");
  });

  it("a person's wish to end it comes too late", async () => {
    const asked: boolean[] = [];
    const { run } = setup(shapes, { guard: (isPast) => void asked.push(isPast) });
    await runSteps(run);
    expect(asked).toEqual([false, false, false, false, true, true]);
  });
});

describe("another has taken over", () => {
  it.each(["lock-lost", "superseded"] as const)(
    "%s before a step: nothing more is done, also nothing undone",
    async (reason) => {
      let steps = 0;
      const { did, run } = setup(shapes, {
        guard: () => {
          steps += 1;
          if (steps === 3) throw lost(reason);
        },
      });
      expect(await runSteps(run)).toMatchObject({ outcome: "superseded", error: { reason } });
      expect(did).toEqual(["apply drain", "apply demote"]);
    },
  );

  it("a node that has seen a higher fence stops it as well", async () => {
    const { did, run } = setup(shapes, {
      apply: (name) => {
        if (name === "demote") throw lost("superseded");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "superseded" });
    expect(did).toEqual(["apply drain", "apply demote"]);
  });

  it("in the middle of undoing: the rest is left to the other", async () => {
    const { did, run } = setup(shapes, {
      at: once("before catch-up"),
      undo: (name) => {
        if (name === "demote") throw lost("superseded");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "superseded" });
    expect(did).not.toContain("undo drain");
  });

  it("a node has seen the fence of an attempt that came to nothing: nobody has taken over, and everything is undone", async () => {
    const { run, did } = setup(shapes, {
      isSuperseded: () => false,
      apply: (name) => {
        if (name === "demote") throw lost("superseded");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "undone", error: { reason: "superseded" } });
    expect(did.filter((line) => line.startsWith("undo"))).not.toEqual([]);
  });
});

describe("undoing", () => {
  it("is tried again when it fails", async () => {
    let tries = 0;
    const { did, run, sleeps } = setup(shapes, {
      at: once("after demote"),
      undo: (name) => {
        if (name === "demote" && ++tries < 3) throw new Error("not yet");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "undone", error: { message: "stopped after demote" } });
    expect(did.filter((line) => line.startsWith("undo"))).toEqual([
      "undo demote",
      "undo demote",
      "undo demote",
      "undo drain",
    ]);
    expect(sleeps).toHaveLength(2);
  });

  it("what cannot be undone does not keep the rest from being undone, and the operation has failed", async () => {
    const { effects, run } = setup(shapes, {
      at: once("after demote"),
      undo: (name) => {
        if (name === "demote") throw new Error("stuck");
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "failed", past: false, error: { message: "stuck" } });
    expect([...effects]).toEqual(["demote"]);
  });

  it("is not kept from it by a person's wish to end the operation, only by the loss of the lock", async () => {
    const asked: boolean[] = [];
    const { run } = setup(shapes, { guard: (isPast) => void asked.push(isPast) });
    expect(await undoSteps(run, ["drain", "demote"])).toEqual({ outcome: "undone", error: undefined });
    expect(asked).toEqual([true, true]);
  });

  it("a journal that cannot be written before a step keeps that step from being applied", async () => {
    const { did, run } = setup(shapes, {
      began: (name) => {
        if (name === "demote") throw new Failure("store-unavailable", { message: "no answer" });
      },
    });
    expect(await runSteps(run)).toMatchObject({ outcome: "undone", error: { reason: "store-unavailable" } });
    expect(did).toEqual(["apply drain", "undo demote", "undo drain"]);
  });
});
