import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { type Candidate, freezeAndChoose, type PromotionParts, promote } from "#node/lib/failover/attempt.ts";
import type { ClusterNode } from "#node/lib/failover/cluster-node.ts";
import { n1, n2, n3, uuid1 } from "../cluster/samples.ts";
import { type Call, type Fate, fakeCluster, ipOf, uuidOf } from "./fake-cluster.ts";

const fence = 6;
const upTo = (last: number): string => `${uuid1}:1-${last}`;

/** The primary is dead; n2 leads an attempt. */
const setup = async (fate: (call: Call) => Fate = () => "done") => {
  const cluster = await fakeCluster({ fate });
  cluster.node(n1).up = false;
  const process = cluster.process(n2);
  const warnings: string[] = [];
  const parts: PromotionParts = {
    topology: process.topology,
    nodes: [n2, n3].map((instanceId) => process.nodeAt({ instanceId })),
    me: n2,
    log: { info: () => {}, warn: (line) => void warnings.push(line) },
    now: () => 1000,
    stopAt: async () => {},
  };
  const grant = { fence, assertHeld: (): void => {} };
  return {
    ...cluster,
    parts,
    grant,
    warnings,
    choose: async (options: Parameters<typeof freezeAndChoose>[3] = {}) =>
      freezeAndChoose(parts, await cluster.recorded(), fence, options),
    promote: async (candidate: Candidate, held: typeof grant = grant) =>
      promote(
        parts,
        await cluster.recorded(),
        candidate,
        held,
        { reason: "failover: a test", operation_id: "failover-6" },
        400,
      ),
  };
};

describe("freezing and choosing", () => {
  it("freezes everybody and takes who holds most, whoever leads", async () => {
    const world = await setup();
    world.node(n2).executed = upTo(7);
    world.node(n2).received = upTo(8);
    const chosen = await world.choose();
    expect(chosen).toMatchObject({ union: upTo(10), serverUuid: uuidOf(n3), missing: [] });
    expect(chosen.node.instanceId).toBe(n3);
    expect(chosen.others.map(({ instanceId }) => instanceId)).toEqual([n2]);
    for (const id of [n2, n3]) expect(world.node(id)).toMatchObject({ receiving: false, seenFence: fence });
  });

  it("what was received and not applied counts as held", async () => {
    const world = await setup();
    Object.assign(world.node(n2), { executed: upTo(4), received: `${uuid1}:5-12`, applying: false });
    const chosen = await world.choose();
    expect([chosen.node.instanceId, chosen.union]).toEqual([n2, upTo(12)]);
  });

  it("among equals the one that leads", async () => {
    expect((await (await setup()).choose()).node.instanceId).toBe(n2);
    expect((await (await setup()).choose({ preferred: n3 })).node.instanceId).toBe(n3);
  });

  it("one of two does not answer: no promotion, with its name and why", async () => {
    const world = await setup(({ command, node }) => (command === "freeze" && node === n3 ? "refused" : "done"));
    const failure = await world.choose().catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason: "no-safe-candidate" });
    expect(String(failure)).toContain(n3);
    expect(String(failure)).toContain("did not answer freeze");
    expect((await world.recorded()).instance_id).toBe(n1);
  });

  it("one refuses because the primary feeds it: no promotion, with its words", async () => {
    const world = await setup();
    const refusing: ClusterNode = {
      ...(world.parts.nodes[1] as ClusterNode),
      freeze: async () => ({ frozen: false, because: "its own stream from the primary is alive" }),
    };
    const parts = { ...world.parts, nodes: [world.parts.nodes[0] as ClusterNode, refusing] };
    await expect(freezeAndChoose(parts, await world.recorded(), fence)).rejects.toMatchObject({
      reason: "no-safe-candidate",
      message: expect.stringMatching(/stream from the primary is alive/),
    });
  });

  it("one restarted since it was listed: no promotion", async () => {
    const world = await setup();
    world.node(n3).incarnation = "inc-2";
    await expect(world.choose()).rejects.toMatchObject({ message: expect.stringMatching(/restarted/) });
  });

  it("a person accepts the loss: who answers is enough, and who is missing is told", async () => {
    const world = await setup(({ command, node }) => (command === "freeze" && node === n3 ? "refused" : "done"));
    const chosen = await world.choose({ acceptLoss: true });
    expect([chosen.node.instanceId, chosen.missing]).toEqual([n2, [n3]]);
    expect(chosen.others).toEqual([]);
  });

  it("an answer that was lost leaves that node frozen, and the attempt without it", async () => {
    const world = await setup(({ command, node }) => (command === "freeze" && node === n3 ? "answer-lost" : "done"));
    await expect(world.choose()).rejects.toMatchObject({ reason: "no-safe-candidate" });
    expect(world.node(n3)).toMatchObject({ receiving: false, seenFence: fence });
  });

  it("a node that has seen a higher fence is not frozen by a late attempt", async () => {
    const world = await setup();
    world.node(n3).seenFence = 9;
    await expect(world.choose()).rejects.toMatchObject({ reason: "no-safe-candidate" });
    expect(world.node(n3).receiving).toBe(true);
  });
});

describe("promoting", () => {
  it("applies, records with a new timeline, opens, and has the others follow, in that order", async () => {
    const world = await setup();
    const record = await world.promote(await world.choose());
    expect(record).toMatchObject({
      instance_id: n2,
      private_ip: ipOf(n2),
      server_uuid: uuidOf(n2),
      fence,
      timeline: 2,
      branch_gtid_set: upTo(10),
      ackers: [{ instance_id: n3, incarnation: "inc-1" }],
      failover_from: n1,
      reason: "failover: a test",
      operation_id: "failover-6",
    });
    expect(record.degraded).toBeUndefined();
    expect(await world.recorded()).toEqual(record);
    expect(world.writable()).toEqual([n2]);
    expect(world.node(n3)).toMatchObject({ source: ipOf(n2), receiving: true });
    const order = world.did.filter((line) => /^2 (freeze|apply|open)/.test(line));
    expect(order).toEqual(["2 freeze", "2 apply", "2 open"]);
  });

  it("is not recorded before it has applied everything", async () => {
    const world = await setup();
    const candidate = await world.choose();
    Object.assign(world.node(n2), { executed: upTo(3), received: upTo(3) });
    await expect(world.promote(candidate)).rejects.toMatchObject({ reason: "timed-out" });
    expect((await world.recorded()).instance_id).toBe(n1);
    expect(world.writable()).toEqual([]);
  });

  it("another that cannot apply everything is no first acker, and does not keep it from being promoted", async () => {
    const world = await setup(({ command, node }) => (command === "apply" && node === n3 ? "refused" : "done"));
    const record = await world.promote(await world.choose());
    expect(record.ackers).toEqual([]);
    expect(world.writable()).toEqual([n2]);
  });

  it("a first acker is listed in the incarnation in which it has applied everything", async () => {
    const world = await setup();
    const candidate = await world.choose();
    world.node(n3).incarnation = "inc-2";
    expect((await world.promote(candidate)).ackers).toEqual([{ instance_id: n3, incarnation: "inc-2" }]);
  });

  it("the election lock was lost while it applied: nothing is recorded, nothing is opened", async () => {
    const world = await setup();
    const lost = {
      fence,
      assertHeld: () => {
        throw new Failure("lock-lost", { message: "The election lock was lost." });
      },
    };
    await expect(world.promote(await world.choose(), lost)).rejects.toMatchObject({ reason: "lock-lost" });
    expect((await world.recorded()).instance_id).toBe(n1);
    expect(world.writable()).toEqual([]);
  });

  it("the lock was lost while the record was written: it is not opened by this attempt", async () => {
    const world = await setup();
    let asked = 0;
    const lost = {
      fence,
      assertHeld: () => {
        asked += 1;
        if (asked > 1) throw new Failure("lock-lost", { message: "The election lock was lost." });
      },
    };
    await expect(world.promote(await world.choose(), lost)).rejects.toMatchObject({ reason: "lock-lost" });
    expect(world.writable()).toEqual([]);
  });

  it("the primary took a new fence meanwhile, or its ackers changed: the attempt is void", async () => {
    const world = await setup();
    const before = await world.recorded();
    const candidate = await world.choose();
    await world.topology.amend(before, { ackers: [] }, { needsHigherFence: false });
    await expect(promote(world.parts, before, candidate, world.grant, { reason: "late" }, 0)).rejects.toMatchObject({
      reason: "superseded",
      message: expect.stringContaining(n1),
    });
    expect(world.writable()).toEqual([]);
    expect(await world.recorded()).toMatchObject({ instance_id: n1, ackers: [] });
  });

  it("one of the others does not follow yet: it is promoted all the same, and the log says so", async () => {
    const world = await setup(({ command, node }) => (command === "repoint" && node === n3 ? "refused" : "done"));
    await world.promote(await world.choose());
    expect(world.writable()).toEqual([n2]);
    expect(world.warnings.join()).toContain(n3);
  });

  it("it cannot be opened: the record stands, and its own agent opens it later", async () => {
    const world = await setup(({ command }) => (command === "open" ? "refused" : "done"));
    await expect(world.promote(await world.choose())).rejects.toMatchObject({ reason: "node-unreachable" });
    expect((await world.recorded()).instance_id).toBe(n2);
    expect(world.writable()).toEqual([]);
  });

  it("a degraded cluster that a person promotes stays degraded only when the note says so", async () => {
    const world = await setup();
    const degraded = { since: "2026-11-21T00:00:00Z", by: "a test" };
    await world.topology.amend(await world.recorded(), { degraded }, { needsHigherFence: false });
    const chosen = await world.choose({ acceptLoss: true });
    expect((await world.promote(chosen)).degraded).toBeUndefined();
  });
});
