import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextRaftStep, type RaftInstance, type RaftView } from "#node/lib/orchestrator/raft-reconcile.ts";

const [a, b, c, d, e] = ["10.1.0.9", "10.1.0.10", "10.1.0.11", "10.1.0.12", "10.1.0.13"] as const;
const instance = (address: string, lifecycleState = "InService", answers = true): RaftInstance => ({
  address,
  lifecycleState,
  answers,
});
const three = [instance(a), instance(b), instance(c)];
const calm: RaftView = { self: a, instances: three, peers: [c, a, b], leader: a, fileNodes: [a, b, c] };

describe("the next step towards peers that are the group's instances", () => {
  it.each<[string, Partial<RaftView>, object]>([
    ["nothing differs", {}, { do: "nothing" }],
    ["the file is not sorted", { fileNodes: [c, b, a] }, { do: "rewrite-file", nodes: [a, b, c] }],
    ["the file is the template's", { fileNodes: [], peers: undefined }, { do: "rewrite-file", nodes: [a, b, c] }],
    [
      "a new instance: the file first",
      { instances: [...three, instance(d)] },
      { do: "rewrite-file", nodes: [a, b, c, d] },
    ],
    [
      "a new instance, and this node leads",
      { instances: [...three, instance(d)], fileNodes: [a, b, c, d] },
      { do: "add-peer", address: d },
    ],
    [
      "a new instance, and another leads",
      { instances: [...three, instance(d)], fileNodes: [a, b, c, d], leader: b },
      { do: "nothing" },
    ],
    [
      "a new instance that does not answer yet",
      { instances: [...three, instance(d, "Pending:Wait", false)], fileNodes: [a, b, c, d] },
      { do: "nothing", because: expect.stringContaining("does not answer yet") },
    ],
    [
      "a peer that is only silent",
      { instances: [instance(a), instance(b), instance(c, "InService", false)] },
      { do: "nothing" },
    ],
    [
      "a peer that hands over",
      { instances: [instance(a), instance(b), instance(c, "Terminating:Wait")] },
      { do: "nothing" },
    ],
    [
      "a peer that is held for its termination and does not answer any more: the file first",
      { instances: [instance(a), instance(b), instance(c, "Terminating:Wait", false)] },
      { do: "rewrite-file", nodes: [a, b] },
    ],
    [
      "a peer that is held for its termination and does not answer any more",
      { instances: [instance(a), instance(b), instance(c, "Terminating:Wait", false)], fileNodes: [a, b] },
      { do: "remove-peer", address: c },
    ],
    [
      "its replacement is here before the hook of a dead node is completed: the dead peer goes first",
      {
        instances: [instance(a), instance(b), instance(c, "Terminating:Wait", false), instance(d)],
        fileNodes: [a, b, d],
      },
      { do: "remove-peer", address: c },
    ],
    [
      "this node is held for its termination, and its own Orchestrator does not answer",
      { instances: [instance(a, "Terminating:Wait", false), instance(b), instance(c)], peers: undefined },
      { do: "nothing", because: expect.stringContaining("does not answer") },
    ],
    [
      "a peer whose instance is terminated",
      { instances: [instance(a), instance(b), instance(c, "Terminated")], fileNodes: [a, b] },
      { do: "remove-peer", address: c },
    ],
    [
      "a peer whose instance is gone, and its successor is here: the removal first",
      { instances: [instance(a), instance(b), instance(d)], fileNodes: [a, b, d] },
      { do: "remove-peer", address: c },
    ],
    [
      "two peers gone: one at a time",
      { instances: [instance(a), instance(b), instance(c)], peers: [a, b, c, e, d], fileNodes: [a, b, c] },
      { do: "remove-peer", address: d },
    ],
    ["Orchestrator does not answer", { peers: undefined, leader: undefined }, { do: "nothing" }],
    ["an election is on", { leader: undefined }, { do: "nothing", because: expect.stringContaining("election") }],
    [
      "two of three instances were replaced: no quorum is left among the peers",
      { instances: [instance(a), instance(d), instance(e)], fileNodes: [a, d, e], leader: undefined },
      { do: "restart" },
    ],
    [
      "two of three are silent and not replaced",
      { instances: [instance(a), instance(b, "InService", false), instance(c, "InService", false)], leader: undefined },
      { do: "nothing" },
    ],
    [
      "this node leaves the group",
      { instances: [instance(a, "Terminating:Proceed"), instance(b), instance(c)] },
      { do: "nothing" },
    ],
    ["this node is alone: no raft of its own", { instances: [instance(a)], fileNodes: [] }, { do: "nothing" }],
  ])("%s", (_, change, expected) => {
    expect(nextRaftStep({ ...calm, ...change })).toMatchObject(expected);
  });

  it("for any group and any peers, never removes one that the group has, nor writes a file without this node or with it alone", () => {
    const address = fc.constantFrom(a, b, c, d, e);
    const states = fc.constantFrom(
      "InService",
      "Pending:Wait",
      "Terminating:Wait",
      "Terminating:Proceed",
      "Terminated",
    );
    const view = fc.record<RaftView>({
      self: address,
      instances: fc.uniqueArray(fc.record({ address, lifecycleState: states, answers: fc.boolean() }), {
        selector: (each) => each.address,
      }),
      peers: fc.option(fc.uniqueArray(address), { nil: undefined }),
      leader: fc.option(address, { nil: undefined }),
      fileNodes: fc.uniqueArray(address),
    });
    fc.assert(
      fc.property(view, (seen) => {
        const step = nextRaftStep(seen);
        const staying = (found: RaftInstance | undefined): boolean =>
          found !== undefined &&
          !["Terminating:Proceed", "Terminated"].includes(found.lifecycleState) &&
          (found.answers || found.lifecycleState !== "Terminating:Wait");
        if (step.do === "rewrite-file") {
          expect(step.nodes).toContain(seen.self);
          expect(step.nodes.length).toBeGreaterThan(1);
        }
        if (step.do === "remove-peer") {
          expect(seen.leader).toBe(seen.self);
          expect(staying(seen.instances.find((each) => each.address === step.address))).toBe(false);
        }
        if (step.do === "add-peer") {
          expect(seen.leader).toBe(seen.self);
          expect(seen.instances.find((each) => each.address === step.address)?.answers).toBe(true);
        }
      }),
    );
  });

  it("comes to rest when each step is done", () => {
    const group = [instance(a), instance(d), instance(e)];
    let [peers, fileNodes] = [[a, b, c] as string[], [a, b, c] as readonly string[]];
    const done: string[] = [];
    for (let step = nextRaftStep({ self: a, instances: group, peers, leader: a, fileNodes }); step.do !== "nothing"; ) {
      done.push("address" in step ? `${step.do} ${step.address}` : step.do);
      if (step.do === "rewrite-file") fileNodes = step.nodes;
      if (step.do === "remove-peer") peers = peers.filter((peer) => step.do === "remove-peer" && peer !== step.address);
      if (step.do === "add-peer") peers = [...peers, step.address];
      step = nextRaftStep({ self: a, instances: group, peers, leader: a, fileNodes });
    }
    expect(done).toEqual(["rewrite-file", `remove-peer ${b}`, `remove-peer ${c}`, `add-peer ${d}`, `add-peer ${e}`]);
  });
});
