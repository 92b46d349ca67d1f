import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { leaseTimings } from "#contract/lease.ts";
import { isLive, type OperationPlan, type OperationRecord } from "#contract/operation.ts";
import { itemKey } from "#contract/table.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { makeLease } from "#node/lib/coordination/lease.ts";
import { makeTopology } from "#node/lib/coordination/topology.ts";
import type { OperationDefinition } from "#node/lib/operation/definition.ts";
import { type OperationParts, runOperation } from "#node/lib/operation/run-operation.ts";
import { type Step, type StopPoint, stopPointName } from "#node/lib/operation/step.ts";
import { n1, n2, record as topologyRecord } from "../cluster/samples.ts";
import { fakeClock } from "../coordination/fake-clock.ts";
import { fakeJournal, plan } from "./fake-journal.ts";

const lockPk = itemKey.lock("operation", "c1");
const topologyPk = itemKey.topology("c1");

interface Context {
  readonly topology: TopologyRecord;
}
interface Faults {
  readonly at?: (point: StopPoint) => void | Promise<void>;
  readonly begin?: () => void;
  readonly result?: () => void;
  readonly end?: () => void;
}

/** An operation of two undoable steps, one that records n2 as primary, and one after it; all over one fake store. */
const setup = (faults: Faults = {}) => {
  const fake = fakeJournal();
  const clock = fakeClock();
  const did: string[] = [];
  const warnings: string[] = [];
  const table = fake.store.connect();
  let uuids = 0;
  const uuid = (): string => `own-${++uuids}`;
  const topology = makeTopology({ table, clusterId: "c1", uuid, now: () => new Date(0) });
  const { pk: _pk, rvn: _rvn, updated_at: _at, ...initial } = topologyRecord();
  const lockOf = (owner: string, purpose: string) =>
    makeLease({
      table,
      pk: lockPk,
      owner,
      timings: leaseTimings.short,
      purpose,
      now: clock.now,
      wallClock: () => new Date(0),
      uuid,
      sleep: clock.sleep,
    });
  const undoable = (name: string): Step<Context> => ({
    name,
    description: name,
    apply: async () => {
      did.push(`apply ${name}`);
      return undefined;
    },
    undo: async () => void did.push(`undo ${name}`),
  });
  const steps: Step<Context>[] = [
    undoable("drain"),
    { ...undoable("demote"), inWindow: true },
    {
      name: "record",
      description: "record",
      inWindow: true,
      pointOfNoReturn: true,
      apply: async () => {
        did.push("apply record");
        const read = (await topology.read()) as TopologyRecord;
        await topology.amend(
          read,
          { instance_id: n2, fence: read.fence + 1, operation_id: "op-1" },
          { needsHigherFence: true },
        );
        return undefined;
      },
    },
    { name: "open", description: "open", apply: async () => void did.push("apply open") as undefined },
  ];
  const planned: OperationPlan = plan({ steps: steps.map(({ name, description }) => ({ name, description })) });
  const made: { fresh: OperationPlan } = { fresh: planned };
  const definition: OperationDefinition<Context> = {
    kind: "switchover",
    plan: async () => {
      did.push("plan");
      return made.fresh;
    },
    asApproved: (input) => input,
    begin: async (_record, _plan, read) => {
      did.push("begin");
      faults.begin?.();
      return { topology: read };
    },
    steps: () => steps,
    isPast: (operationId, _plan, read) => read.operation_id === operationId && read.instance_id === n2,
    result: async () => {
      did.push("result");
      faults.result?.();
      return { changed: true };
    },
    end: async () => {
      did.push("end");
      faults.end?.();
    },
  };
  const stop = new AbortController();
  const parts: OperationParts = {
    me: n2,
    journal: fake.journal,
    topology,
    operationLock: (purpose) => lockOf(n2, purpose),
    log: { info: () => {}, warn: (line) => void warnings.push(line), error: () => {}, debug: () => {} },
    now: () => new Date("2026-11-21T00:00:05.000Z"),
    monotonic: clock.now,
    sleep: async () => {},
    stopAt: async (point) => faults.at?.(point),
    signal: stop.signal,
  };
  return {
    ...fake,
    clock,
    definition,
    did,
    lockOf,
    made,
    parts,
    stop,
    topology,
    warnings,
    recorded: async (change: Partial<OperationRecord> = {}) => {
      await topology.create(initial);
      return fake.created({
        plan: JSON.stringify(planned),
        steps: planned.steps.map((s) => ({ ...s, state: "pending" })),
        ...change,
      });
    },
    run: () => runOperation(definition, parts, "op-1"),
    stored: async () => (await fake.others.read("op-1")) as OperationRecord,
    effects: () => did.filter((line) => /^(apply|undo) /.test(line)),
    lockIsFree: () => fake.store.items.get(lockPk)?.owner === undefined,
  };
};

const throwAt = (point: string, error: unknown = new Error(`stopped ${point}`)) => {
  let thrown = false;
  return (at: StopPoint): void => {
    if (thrown || stopPointName(at) !== point) return;
    thrown = true;
    throw error;
  };
};
const everything = ["apply drain", "apply demote", "apply record", "apply open"];
const undone = ["undo demote", "undo drain"];

describe("an operation that goes well", () => {
  it("ends as succeeded with its result, its steps, its audit copy, and the lock free", async () => {
    const { bucket, effects, lockIsFree, recorded, run, stored } = setup();
    await recorded();
    const ended = await run();
    expect(effects()).toEqual(everything);
    expect(ended).toMatchObject({
      state: "succeeded",
      node: n2,
      topology_fence: topologyRecord().fence,
      result: { changed: true },
      ended_at: "2026-11-21T00:00:05.000Z",
    });
    expect(ended.steps.map(({ state }) => state)).toEqual(["done", "done", "done", "done"]);
    expect(ended.failure_reason).toBeUndefined();
    expect(await stored()).toEqual(ended);
    expect([...bucket.objects.values()].map((body) => JSON.parse(body.toString()))).toEqual([ended]);
    expect(lockIsFree()).toBe(true);
  });

  it("says in the lock what it is for, so that others see who holds it", async () => {
    const { recorded, run, store } = setup({
      at: () => expect(store.items.get(lockPk)).toMatchObject({ owner: n2, purpose: "switchover op-1" }),
    });
    await recorded();
    expect((await run()).state).toBe("succeeded");
  });

  it("run again after it ended is answered as it ended, and nothing is done", async () => {
    const { did, recorded, run } = setup();
    await recorded();
    const first = await run();
    did.length = 0;
    expect(await run()).toEqual(first);
    expect(did).toEqual([]);
  });

  it("an audit copy that cannot be written does not make it fail", async () => {
    const { definition, parts, recorded, warnings } = setup();
    await recorded();
    const journal = { ...parts.journal, keep: () => Promise.reject(new Error("no bucket")) };
    expect((await runOperation(definition, { ...parts, journal }, "op-1")).state).toBe("succeeded");
    expect(warnings.join()).toMatch(/no bucket/);
  });

  it("what was freed at its end with an error does not make it fail", async () => {
    const { recorded, run } = setup({
      end: () => {
        throw new Error("no matter");
      },
    });
    await recorded();
    expect((await run()).state).toBe("succeeded");
  });
});

describe("what is not to be done", () => {
  it("an id that nobody recorded is an error, and the lock is free again", async () => {
    const { did, lockIsFree, run, topology } = setup();
    await topology.create(topologyRecord());
    await expect(run()).rejects.toBeInstanceOf(Failure);
    expect(did).toEqual([]);
    expect(lockIsFree()).toBe(true);
  });

  it("a plan that changed since it was approved", async () => {
    const { effects, made, recorded, run } = setup();
    await recorded();
    made.fresh = plan({ hash: "b".repeat(64) });
    expect(await run()).toMatchObject({ state: "undone", failure_reason: "plan-changed" });
    expect(effects()).toEqual([]);
  });

  it("a plan that is another than the caller expects, although it did not change", async () => {
    const { effects, recorded, run } = setup();
    await recorded({ input: { expected_plan_hash: "c".repeat(64) } });
    expect(await run()).toMatchObject({ state: "undone", failure_reason: "plan-changed" });
    expect(effects()).toEqual([]);
  });

  it("a plan that is refused now", async () => {
    const { effects, made, recorded, run } = setup();
    await recorded();
    made.fresh = plan({ ...made.fresh, refusals: [{ reason: "lag-too-high", message: "i-2 is 900 s behind." }] });
    const ended = await run();
    expect(ended).toMatchObject({ state: "undone", failure_reason: "lag-too-high" });
    expect(ended.failure_message).toMatch(/900 s behind/);
    expect(effects()).toEqual([]);
  });

  it("a plan that changes nothing: success without a step", async () => {
    const { effects, made, recorded, run } = setup();
    made.fresh = plan({ changes: false, steps: [] });
    await recorded({ plan: JSON.stringify(made.fresh), steps: [] });
    expect(await run()).toMatchObject({ state: "succeeded", result: { changed: false } });
    expect(effects()).toEqual([]);
  });

  it("a record whose plan nobody can read", async () => {
    const { effects, recorded, run } = setup();
    await recorded({ plan: JSON.stringify({ schema: 9 }) });
    expect(await run()).toMatchObject({ state: "undone", failure_reason: "record-malformed" });
    expect(effects()).toEqual([]);
  });

  it("a cluster without a topology record", async () => {
    const { created, effects, run } = setup();
    await created();
    expect(await run()).toMatchObject({ state: "undone", failure_reason: "cluster-unhealthy" });
    expect(effects()).toEqual([]);
  });
});

describe("it fails", () => {
  it.each(["before drain", "after drain", "before demote", "after demote", "before record"])(
    "%s: everything is undone, and the record says so",
    async (point) => {
      const { effects, lockIsFree, recorded, run, topology } = setup({ at: throwAt(point) });
      await recorded();
      const ended = await run();
      expect(ended.state).toBe("undone");
      expect(ended.failure_message).toContain(`stopped ${point}`);
      expect(ended.failure_message).toContain("Everything was undone; nothing is changed.");
      const began = undone.filter((line) =>
        point !== "before drain" && point !== "after drain" ? true : line === "undo drain",
      );
      expect(effects().filter((line) => line.startsWith("undo"))).toEqual(began);
      expect((await topology.read())?.instance_id).toBe(n1);
      expect(lockIsFree()).toBe(true);
    },
  );

  it.each(["after record", "before open", "after open"])("%s: it goes on to its end", async (point) => {
    const { effects, recorded, run, topology } = setup({ at: throwAt(point) });
    await recorded();
    expect((await run()).state).toBe("succeeded");
    expect(effects().some((line) => line.startsWith("undo"))).toBe(false);
    expect((await topology.read())?.instance_id).toBe(n2);
  });

  it("when the end state is read back: it has failed, and nothing is undone", async () => {
    const { effects, recorded, run } = setup({
      result: () => {
        throw new Failure("verification-failed", { message: "i-3 does not follow." });
      },
    });
    await recorded();
    const ended = await run();
    expect(ended).toMatchObject({ state: "failed", failure_reason: "verification-failed" });
    expect(ended.failure_message).not.toContain("nothing is changed");
    expect(effects()).toEqual(everything);
  });

  it("because another was recorded meanwhile: it ends as superseded and changes nothing more", async () => {
    const { effects, recorded, run, topology } = setup({
      at: async (point) => {
        if (stopPointName(point) !== "before demote") return;
        const read = (await topology.read()) as TopologyRecord;
        await topology.amend(
          read,
          { instance_id: "i-00000000000000003", fence: read.fence + 1, operation_id: "failover-6" },
          { needsHigherFence: true },
        );
        throw new Failure("superseded", { message: "i-3 is the primary." });
      },
    });
    await recorded();
    const ended = await run();
    expect(ended).toMatchObject({ state: "superseded", failure_reason: "superseded" });
    expect(ended.failure_message).not.toContain("nothing is changed");
    expect(effects()).toEqual(["apply drain"]);
  });

  it("however it ends, what was begun is freed", async () => {
    for (const point of ["before drain", "after open"]) {
      const { did, recorded, run } = setup({ at: throwAt(point) });
      await recorded();
      await run();
      expect(did.filter((line) => line === "end")).toHaveLength(1);
      expect(did.at(-1)).toBe("end");
    }
  });
});

describe("it is asked to end", () => {
  const askedAt = (point: string) => {
    const world = setup({
      at: async (at) => {
        if (stopPointName(at) !== point) return;
        const read = await world.stored();
        await world.others.replace(read, {
          abort_requested_at: "2026-11-21T00:00:04.000Z",
          abort_requested_by: "run 7",
        });
      },
    });
    return world;
  };

  it("before the point of no return: it is undone, and ends as aborted with who asked", async () => {
    const { effects, recorded, run } = askedAt("after drain");
    await recorded();
    const ended = await run();
    expect(ended).toMatchObject({ state: "aborted", failure_reason: "interrupted", abort_requested_by: "run 7" });
    expect(ended.failure_message).toMatch(/run 7/);
    expect(effects().slice(-2)).toEqual(undone);
  });

  it("after it: it goes on to its end", async () => {
    const { recorded, run } = askedAt("before open");
    await recorded();
    expect(await run()).toMatchObject({ state: "succeeded", abort_requested_by: "run 7" });
  });

  it("before anybody ran it: nothing is done", async () => {
    const { effects, recorded, run } = setup();
    await recorded({ abort_requested_at: "2026-11-21T00:00:04.000Z" });
    expect(await run()).toMatchObject({ state: "aborted" });
    expect(effects().filter((line) => line.startsWith("apply"))).toEqual([]);
  });

  it("by the node's shutdown, before the point of no return: undone; after it: on to the end", async () => {
    for (const [point, state] of [
      ["after drain", "undone"],
      ["after record", "succeeded"],
    ]) {
      const world = setup({
        at: (at) => {
          if (stopPointName(at) === point) world.stop.abort(new Failure("interrupted", { message: "SIGTERM" }));
        },
      });
      await world.recorded();
      expect((await world.run()).state).toBe(state);
    }
  });
});

describe("its runner died, and another takes it up", () => {
  const fence = topologyRecord().fence;
  const running = { state: "running", node: "i-00000000000000003", topology_fence: fence } as const;

  it("before the point of no return: everything that may have been begun is undone", async () => {
    const { did, effects, recorded, run } = setup();
    await recorded(running);
    const ended = await run();
    expect(ended).toMatchObject({ state: "undone", failure_reason: "interrupted", node: n2 });
    expect(effects()).toEqual(undone);
    // The plan was approved and begun; what was half done may make a fresh one look otherwise.
    expect(did).not.toContain("plan");
  });

  it("after the point of no return: it goes on from there", async () => {
    const { effects, recorded, run, topology } = setup();
    await recorded(running);
    const read = (await topology.read()) as TopologyRecord;
    await topology.amend(read, { instance_id: n2, fence: fence + 1, operation_id: "op-1" }, { needsHigherFence: true });
    expect(await run()).toMatchObject({ state: "succeeded", result: { changed: true } });
    expect(effects()).toEqual(["apply open"]);
  });

  it("another was recorded meanwhile: superseded, and nothing is touched", async () => {
    const { did, effects, recorded, run, topology } = setup();
    await recorded(running);
    const read = (await topology.read()) as TopologyRecord;
    await topology.amend(
      read,
      { instance_id: "i-00000000000000003", fence: fence + 1, operation_id: "failover-6" },
      { needsHigherFence: true },
    );
    expect(await run()).toMatchObject({ state: "superseded", failure_reason: "superseded" });
    expect(effects()).toEqual([]);
    expect(did).not.toContain("begin");
  });

  it("the old primary took a new fence under another name meanwhile: superseded", async () => {
    const { effects, recorded, run, topology } = setup();
    await recorded(running);
    await topology.amend((await topology.read()) as TopologyRecord, { fence: fence + 1 }, { needsHigherFence: true });
    expect((await run()).state).toBe("superseded");
    expect(effects()).toEqual([]);
  });

  it("its own undoing had reopened the old primary: the undoing goes on", async () => {
    const { effects, recorded, run, topology } = setup();
    await recorded(running);
    const read = (await topology.read()) as TopologyRecord;
    await topology.amend(read, { fence: fence + 1, operation_id: "op-1" }, { needsHigherFence: true });
    expect((await run()).state).toBe("undone");
    expect(effects()).toEqual(undone);
  });

  it("a person had asked it to end: it ends as aborted", async () => {
    const { recorded, run } = setup();
    await recorded({ ...running, abort_requested_at: "2026-11-21T00:00:04.000Z" });
    expect((await run()).state).toBe("aborted");
  });

  it.each([
    ["before", false],
    ["after", true],
  ])(
    "%s the point of no return, and what it needs is not there: it is not called undone, because nothing was",
    async (_name, past) => {
      const { effects, recorded, run, stored, topology } = setup({
        begin: () => {
          throw new Failure("node-unreachable", { message: "The candidate is not running any more." });
        },
      });
      await recorded(running);
      if (past) {
        const read = (await topology.read()) as TopologyRecord;
        await topology.amend(
          read,
          { instance_id: n2, fence: fence + 1, operation_id: "op-1" },
          { needsHigherFence: true },
        );
      }
      await run().catch(() => {});
      expect(effects()).toEqual([]);
      const ended = await stored();
      expect(ended.state).not.toBe("undone");
      expect(ended.failure_message ?? "").not.toContain("nothing is changed");
    },
  );

  it("the dead runner's lock is waited for until it is stale", async () => {
    const { clock, lockOf, recorded, run } = setup();
    await recorded(running);
    await lockOf("i-00000000000000003", "switchover op-1").acquire();
    let state: string | undefined;
    const ending = run().then((ended) => {
      state = ended.state;
    });
    await clock.advance(leaseTimings.short.leaseMs - 1);
    expect(state).toBeUndefined();
    await clock.advance(2000);
    await ending;
    expect(state).toBe("undone");
  });
});

describe("two run it", () => {
  it("a live holder keeps the lock; the other is told who holds it and for what, and does nothing", async () => {
    const { clock, did, lockOf, recorded, run, stored } = setup();
    const before = await recorded();
    const held = await lockOf("i-00000000000000003", "upgrade up-1").acquire();
    held.startRenewing();
    const failing = run().then(
      () => undefined,
      (error: unknown) => error,
    );
    await clock.advance(12_000);
    expect(await failing).toMatchObject({
      reason: "lock-held",
      message: expect.stringMatching(/i-00000000000000003.*upgrade up-1/),
    });
    expect(did).toEqual([]);
    expect(await stored()).toEqual(before);
  });

  it("one that was stopped past its lease does nothing more, and leaves the record's end to its successor", async () => {
    const world = setup({
      at: async (at) => {
        if (stopPointName(at) !== "after drain") return;
        // The process was stopped: its clock went on, its renewals did not.
        const { store, clock } = world;
        store.items.set(lockPk, {
          ...store.items.get(lockPk),
          pk: lockPk,
          owner: "i-00000000000000003",
          rvn: "theirs",
          fence: 9,
        });
        await clock.advance(leaseTimings.short.leaseMs);
      },
    });
    await world.recorded();
    await expect(world.run()).rejects.toMatchObject({ reason: "lock-lost" });
    expect(world.effects()).toEqual(["apply drain"]);
    expect(isLive(await world.stored())).toBe(true);
    expect(world.store.items.get(lockPk)?.owner).toBe("i-00000000000000003");
  });

  it("the record was taken by another node between its reading and the first write: nothing is done", async () => {
    const { definition, effects, others, parts, recorded } = setup();
    await recorded();
    const journal = {
      ...parts.journal,
      read: async (id: string) => {
        const read = await parts.journal.read(id);
        if (read) await others.replace(read, { node: "i-00000000000000003" });
        return read;
      },
    };
    await expect(runOperation(definition, { ...parts, journal }, "op-1")).rejects.toMatchObject({
      reason: "lock-lost",
    });
    expect(effects()).toEqual([]);
  });
});

it("the store goes away at the point of no return, after the record was written: it is never reported as undone", async () => {
  const world = setup();
  const { clock, definition, parts, recorded, store, stored, topology } = world;
  await recorded();
  let away = false;
  const flaky: OperationParts = {
    ...parts,
    topology: {
      ...topology,
      read: async () => {
        if (away) throw new Failure("store-unavailable", { message: "DynamoDB did not answer." });
        return topology.read();
      },
    },
    stopAt: async (point) => {
      if (stopPointName(point) !== "after record") return;
      away = true;
      // The lease cannot be renewed either.
      store.items.set(lockPk, {
        ...store.items.get(lockPk),
        pk: lockPk,
        owner: "i-00000000000000003",
        rvn: "theirs",
        fence: 9,
      });
      throw new Error("the answer was lost");
    },
    sleep: (ms) => clock.advance(ms),
  };
  await runOperation(definition, flaky, "op-1").catch(() => {});
  expect(store.items.get(topologyPk)).toMatchObject({ instance_id: n2 });
  expect((await stored()).state).not.toBe("undone");
});
