import { describe, expect, it } from "vitest";
import { type OperationRecord, plannedContent } from "#contract/operation.ts";
import { itemKey } from "#contract/table.ts";
import { makeJournal } from "#node/lib/coordination/journal.ts";
import { switchover } from "#node/lib/failover/switchover/definition.ts";
import { forcedSteps, switchoverSteps } from "#node/lib/failover/switchover/steps.ts";
import { runOperation } from "#node/lib/operation/run-operation.ts";
import { type StopPoint, stopPointName, stopPoints } from "#node/lib/operation/step.ts";
import { memoryBucket } from "../../backup/memory-bucket.ts";
import { n1, n2, n3 } from "../../cluster/samples.ts";
import { type Call, type FakeProcess, type Fate, fakeCluster, ipOf } from "../fake-cluster.ts";

/** The real switchover, run by the real runner, over a cluster in memory. */
const setup = async (
  options: {
    readonly fate?: (call: Call) => Fate;
    readonly input?: Record<string, unknown>;
    readonly dead?: string[];
  } = {},
) => {
  const cluster = await fakeCluster(options.fate ? { fate: options.fate } : {});
  const bucket = memoryBucket();
  const log = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
  let uuids = 0;
  let recoveriesPaused = false;
  for (const instanceId of options.dead ?? []) cluster.node(instanceId).up = false;
  const journalOf = (table: FakeProcess["table"]) =>
    makeJournal({ table, bucket, clusterId: "c1", uuid: () => `j-${++uuids}`, now: () => new Date(0) });

  const definitionOf = (process: FakeProcess) =>
    switchover({
      clusterId: "c1",
      ec2: {
        tagInstance: async () => {},
        describeInstances: async () =>
          [...cluster.nodes.keys()].map((instanceId) => ({
            instanceId,
            privateIp: ipOf(instanceId),
            availabilityZone: "a",
            state: "running",
            tags: {},
            launchedAt: undefined,
          })),
      },
      topology: process.topology,
      operationLock: process.lock("operation", "observing"),
      nodeAt: process.nodeAt,
      sleep: async (ms) => {
        await cluster.agentsAct();
        await cluster.clock.advance(ms);
      },
      routing: "forward",
      me: process.me,
      election: process.lock("election", "switchover"),
      log,
      now: cluster.clock.now,
      startProbe: async () => ({ stop: async () => ({ refusedMs: 20, errors: 0 }) }),
      pauseRecoveries: async () => {
        recoveriesPaused = process.alive || recoveriesPaused;
      },
      resumeRecoveries: async () => {
        recoveriesPaused = recoveriesPaused && !process.alive;
      },
    });
  const run = (process: FakeProcess, stopAt: (point: StopPoint) => void = () => {}): Promise<OperationRecord> =>
    runOperation(
      definitionOf(process),
      {
        me: process.me,
        journal: journalOf(process.table),
        topology: process.topology,
        operationLock: (purpose) => process.lock("operation", purpose),
        log,
        now: () => new Date(0),
        monotonic: cluster.clock.now,
        sleep: (ms) => cluster.clock.advance(ms),
        stopAt: async (point) => stopAt(point),
        signal: new AbortController().signal,
      },
      "op-1",
    );
  const planner = cluster.process(n3);
  const input = { target: n2, ...options.input };
  const plan = await definitionOf(planner).plan(input, "op-1");
  const created = await journalOf(planner.table).create({
    operation_id: "op-1",
    cluster_id: "c1",
    kind: "switchover",
    input,
    ...plannedContent(plan),
    started_by: "a test",
    created_at: "2026-11-21T00:00:00.000Z",
    attempt: 1,
  });
  if (!created.written) throw new Error("not created");
  cluster.did.length = 0;
  cluster.calls.clear();
  return {
    ...cluster,
    plan,
    run,
    paused: () => recoveriesPaused,
    stored: async () => (await journalOf(planner.table).read("op-1")) as OperationRecord,
  };
};
type World = Awaited<ReturnType<typeof setup>>;

const throwAt = (name: string) => {
  let thrown = false;
  return (point: StopPoint): void => {
    if (thrown || stopPointName(point) !== name) return;
    thrown = true;
    throw new Error(`stopped ${name}`);
  };
};
/** From this point on nothing of the process takes effect, as after SIGKILL. */
const killAt =
  (process: FakeProcess, name: string) =>
  (point: StopPoint): void => {
    if (stopPointName(point) !== name) return;
    process.alive = false;
    throw new Error(`killed ${name}`);
  };

/** One writable node, which is the recorded one; nobody is held back; everybody follows it. */
const expectSound = async (world: World, primary: string): Promise<void> => {
  expect(world.writable()).toEqual([primary]);
  expect((await world.recorded()).instance_id).toBe(primary);
  for (const each of world.nodes.values()) {
    if (!each.up) continue;
    expect([each.instanceId, each.holdsConnections]).toEqual([each.instanceId, false]);
    if (each.instanceId === primary) continue;
    expect([each.instanceId, each.source, each.receiving]).toEqual([each.instanceId, ipOf(primary), true]);
  }
  expect(world.electionIsFree()).toBe(true);
  expect(world.paused()).toBe(false);
  expect(world.store.items.get(itemKey.lock("operation", "c1"))?.owner).toBeUndefined();
};

const points = stopPoints(switchoverSteps).map(stopPointName);
const pivot = points.indexOf("before record");

it("a switchover in memory goes through", async () => {
  const world = await setup();
  const ended = await world.run(world.process(n2));
  expect(ended).toMatchObject({
    state: "succeeded",
    result: { changed: true, before: { instance_id: n1 }, after: { instance_id: n2 }, writes_refused_ms: 20 },
  });
  await expectSound(world, n2);
  const { ackers, fence, timeline } = await world.recorded();
  expect({ ackers: ackers.length > 0, fence: fence > 5, timeline }).toEqual({ ackers: true, fence: true, timeline: 1 });
});

describe("an exception at every point", () => {
  it.each(points.slice(0, pivot + 1))("%s: back to the old primary", async (point) => {
    const world = await setup();
    const ended = await world.run(world.process(n2), throwAt(point));
    expect(ended.state).toBe("undone");
    expect(ended.failure_message).toContain(`stopped ${point}`);
    await expectSound(world, n1);
  });

  it.each(points.slice(pivot + 1))("%s: forward to the new primary", async (point) => {
    const world = await setup();
    expect((await world.run(world.process(n2), throwAt(point))).state).toBe("succeeded");
    await expectSound(world, n2);
  });
});

describe("the runner is killed at every point, and another node takes the operation up", () => {
  const takenUp = async (point: string): Promise<{ world: World; ended: OperationRecord }> => {
    const world = await setup();
    const first = world.process(n2);
    await world.run(first, killAt(first, point)).catch(() => {});
    expect(first.alive).toBe(false);
    const ending = world.run(world.process(n3));
    let ended: OperationRecord | undefined;
    void ending.then((record) => {
      ended = record;
    });
    // Its locks have to become stale first.
    for (let second = 0; second < 60 && !ended; second += 1) await world.clock.advance(1000);
    return { world, ended: await ending };
  };

  it.each(points.slice(0, pivot + 1))("%s: back to the old primary", async (point) => {
    const { ended, world } = await takenUp(point);
    expect(ended).toMatchObject({ state: "undone", node: n3, failure_reason: "interrupted" });
    expect(world.writable()).toEqual([n1]);
    expect((await world.recorded()).instance_id).toBe(n1);
  });

  it.each(points.slice(pivot + 1))("%s: forward to the new primary", async (point) => {
    const { ended, world } = await takenUp(point);
    expect(ended).toMatchObject({ state: "succeeded", node: n3, result: { after: { instance_id: n2 } } });
    expect(world.writable()).toEqual([n2]);
    for (const instanceId of [n1, n3]) expect(world.node(instanceId).source).toBe(ipOf(n2));
  });
});

/** Every command that a switchover which goes well gives to a node. */
const everyCommand = async (): Promise<Call[]> => {
  const seen: Call[] = [];
  const world = await setup({
    fate: (call) => {
      seen.push(call);
      return "done";
    },
  });
  seen.length = 0;
  await world.run(world.process(n2));
  return seen.filter(
    (call, i) => seen.findIndex((o) => o.node === call.node && o.command === call.command && o.nth === call.nth) === i,
  );
};

describe("whichever single command fails", () => {
  it.each(["refused", "answer-lost"] as const)(
    "%s: the end is one of the two sound ones, and the record says which",
    async (how) => {
      const commands = await everyCommand();
      expect(commands.length).toBeGreaterThan(15);
      const states = new Map<string, number>();
      for (const { command, node, nth } of commands) {
        let armed = false;
        const world = await setup({
          fate: (call) => (armed && call.command === command && call.node === node && call.nth === nth ? how : "done"),
        });
        armed = true;
        const ended = await world.run(world.process(n2));
        const what = `${node} ${command} ${nth}`;
        states.set(ended.state, (states.get(ended.state) ?? 0) + 1);
        const record = await world.recorded();
        expect([what, world.writable()]).toEqual([what, [record.instance_id]]);
        expect([what, ended.state]).toEqual([what, record.instance_id === n2 ? "succeeded" : "undone"]);
      }
      // Both ends have to occur, or the faults did not reach the interesting commands.
      expect([...states.keys()].sort()).toEqual(["succeeded", "undone"]);
    },
  );
});

it("a failover in the middle: the switchover stops at once and does not disturb the new primary", async () => {
  const world = await setup();
  const ended = await world.run(world.process(n2), (point) => {
    if (stopPointName(point) !== "before record") return;
    const item = world.store.items.get(itemKey.topology("c1"));
    const fence = 50;
    world.store.items.set(itemKey.topology("c1"), {
      ...item,
      pk: itemKey.topology("c1"),
      rvn: "failover",
      instance_id: n3,
      private_ip: ipOf(n3),
      fence,
      operation_id: "failover-50",
    });
    for (const each of world.nodes.values())
      Object.assign(each, { seenFence: fence, readOnly: each.instanceId !== n3 });
  });
  expect(ended).toMatchObject({ state: "superseded" });
  expect(world.writable()).toEqual([n3]);
  expect((await world.recorded()).instance_id).toBe(n3);
});

it("an acker is listed at the moment of the record: the old primary is not left read-only for it", async () => {
  const world = await setup();
  const process = world.process(n2);
  const { topology } = process;
  let raced = false;
  const racing: FakeProcess = {
    ...process,
    topology: {
      ...topology,
      write: async (next, condition) => {
        if (!raced) {
          raced = true;
          await world.topology.amend(
            await world.recorded(),
            { reason: "an acker was listed" },
            { needsHigherFence: false },
          );
        }
        return topology.write(next, condition);
      },
    },
  };
  const ended = await world.run(racing);
  // Nobody has superseded it: forward is best, back is right, and leaving the old primary read-only is neither.
  expect(["succeeded", "undone"]).toContain(ended.state);
  await expectSound(world, ended.state === "succeeded" ? n2 : n1);
});

it("somebody who died has left the election lock behind: that is waited for before writes are refused, not in the window", async () => {
  const world = await setup();
  const { fence } = await world.recorded();
  await world.process(n3).lock("election", "a switchover before this one").acquire({ fenceAbove: fence });
  const at = new Map<string, number>();
  const ended = await world.run(world.process(n2), (point) => at.set(stopPointName(point), world.clock.now()));
  expect(ended.state, ended.failure_message).toBe("succeeded");
  expect((at.get("after open") ?? Number.NaN) - (at.get("before demote") ?? Number.NaN)).toBeLessThan(500);
  await expectSound(world, n2);
});

describe("a person accepts the loss", () => {
  const forced = { input: { target: n3, force: "accept-loss" }, dead: [n1, n2] };

  it("the only node left is recorded as degraded on a new timeline, and opened", async () => {
    const world = await setup(forced);
    expect(world.plan.steps.map(({ name }) => name)).toEqual(forcedSteps.map(({ name }) => name));
    const ended = await world.run(world.process(n3));
    expect(ended.state).toBe("succeeded");
    expect(world.writable()).toEqual([n3]);
    expect(await world.recorded()).toMatchObject({
      instance_id: n3,
      timeline: 2,
      ackers: [],
      degraded: { by: expect.any(String), operation_id: "op-1" },
      failover_from: n1,
    });
  });

  const forcedPoints = stopPoints(forcedSteps).map(stopPointName);
  const forcedPivot = forcedPoints.indexOf("before record");
  it.each(forcedPoints)(
    "stopped %s: nobody is opened without being recorded, and the same can be asked again",
    async (point) => {
      const world = await setup(forced);
      const ended = await world.run(world.process(n3), throwAt(point));
      const isPast = forcedPoints.indexOf(point) > forcedPivot;
      expect(ended.state).toBe(isPast ? "succeeded" : "undone");
      expect(world.writable()).toEqual(isPast ? [n3] : []);
      expect((await world.recorded()).instance_id).toBe(isPast ? n3 : n1);
      expect(world.electionIsFree()).toBe(true);
    },
  );
});
