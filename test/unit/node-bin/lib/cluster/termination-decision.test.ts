import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decideTermination,
  givenUpAfterMs,
  holdOf,
  listedWithinMs,
  replacedWithinMs,
  type TerminationView,
} from "#node/lib/cluster/termination-decision.ts";
import { n1, n2, n3, record } from "./samples.ts";

describe("whether an instance is held for its termination", () => {
  it.each<[string, string | undefined, number, string]>([
    ["it is held", "Terminating:Wait", 0, "held"],
    ["it is held for long", "Terminating:Wait", 1e6, "held"],
    ["somebody has completed its hook", "Terminating:Proceed", 0, "over"],
    ["it is terminated", "Terminated", 0, "over"],
    ["the group does not have it any more", undefined, 0, "over"],
    ["it was taken out of the group alive", "Detached", 0, "over"],
    ["the list is older than the event", "InService", 0, "not-yet"],
    ["it is on its way into the hook", "Terminating", listedWithinMs - 1, "not-yet"],
    ["the event speaks of an instance that stays", "InService", listedWithinMs, "over"],
  ])("%s", (_, state, waitedMs, expected) => {
    expect(holdOf(state, waitedMs)).toBe(expected);
  });
});

const ackers = [n2, n3].map((instance_id) => ({ instance_id, incarnation: `${instance_id}/1` }));
const answers = (leaving: "no" | "leaving" | "let-go" = "leaving"): TerminationView["agent"] => ({
  answers: true,
  leaving,
});
const silent = (silentMs: number): TerminationView["agent"] => ({ answers: false, silentMs });
/** n1 is the primary, n2 and n3 its ackers; n3 is to be terminated. */
const replica: TerminationView = { instanceId: n3, agent: answers(), record: record({ ackers }), others: [] };
const primary: TerminationView = { ...replica, instanceId: n1, others: [n2, n3] };
const long = givenUpAfterMs + replacedWithinMs;

describe("what is done with an instance that is held for its termination", () => {
  it.each<[string, TerminationView, object]>([
    [
      "a replica whose agent works on it",
      replica,
      { do: "wait", heartbeat: false, because: expect.stringContaining("by itself") },
    ],
    ["a replica whose agent has not noticed yet", { ...replica, agent: answers("no") }, { do: "wait" }],
    ["a replica that has let it go", { ...replica, agent: answers("let-go") }, { do: "wait", heartbeat: false }],
    ["a replica whose agent may be starting again", { ...replica, agent: silent(givenUpAfterMs - 1) }, { do: "wait" }],
    ["a replica that is silent for too long", { ...replica, agent: silent(givenUpAfterMs) }, { do: "take-out" }],
    [
      "a silent node of a cluster without a record",
      { ...replica, agent: silent(givenUpAfterMs), record: undefined },
      { do: "take-out" },
    ],
    [
      "the primary, handing over: its hook is kept open",
      primary,
      { do: "wait", heartbeat: true, alarm: false, because: expect.stringContaining("hands over itself") },
    ],
    [
      "the primary, and nobody is listed: as long as its agent answers it is left alone",
      { ...primary, record: record(), others: [] },
      { do: "wait", heartbeat: true, alarm: false },
    ],
    ["the primary is silent for a moment", { ...primary, agent: silent(1000) }, { do: "wait", heartbeat: false }],
    [
      "the primary is given up: the others replace it first",
      { ...primary, agent: silent(givenUpAfterMs) },
      { do: "wait", heartbeat: false, alarm: false, because: expect.stringContaining("about to replace") },
    ],
    ["the primary was given up, and nobody replaced it", { ...primary, agent: silent(long) }, { do: "take-out" }],
    [
      "the primary was replaced meanwhile",
      { ...primary, agent: silent(givenUpAfterMs), record: record({ instance_id: n2, ackers }) },
      { do: "take-out" },
    ],
    [
      "the primary is dead, and nobody is listed",
      { ...primary, agent: silent(long), record: record() },
      { do: "wait", heartbeat: false, alarm: true, because: expect.stringContaining("lists 0 of 1 ackers") },
    ],
    [
      "the primary is dead, and so is one of its two ackers, which may be the only one to hold a write",
      { ...primary, agent: silent(long), others: [n2] },
      { do: "wait", heartbeat: false, alarm: true, because: expect.stringContaining("1 of the 2 ackers") },
    ],
    [
      "the primary is dead, and its only listed acker answers: it holds every acknowledged write",
      { ...primary, agent: silent(long), record: record({ ackers: ackers.slice(0, 1) }), others: [n2] },
      { do: "take-out" },
    ],
    [
      "the primary is dead, and those who answer are not listed",
      { ...primary, agent: silent(long), record: record({ ackers: ackers.slice(0, 1) }), others: [n3] },
      { do: "wait", alarm: true },
    ],
    [
      "the primary is dead, and it had accepted writes without ackers",
      {
        ...primary,
        agent: silent(long),
        record: record({ ackers, degraded: { since: "2026-11-21T00:00:00.000Z", by: "a person" } }),
      },
      { do: "wait", alarm: true, because: expect.stringContaining("too few ackers since") },
    ],
    [
      "the primary of a cluster that forms: it serves nobody",
      { ...primary, agent: silent(givenUpAfterMs), record: record({ phase: "forming" }), others: [] },
      { do: "take-out" },
    ],
  ])("%s", (_, view, expected) => {
    expect(decideTermination(view)).toMatchObject(expected);
  });

  it("never takes out a node that answers, nor one that was silent for a moment, nor a primary that is needed", () => {
    const id = fc.constantFrom(n1, n2, n3);
    const view = fc.record<TerminationView>({
      instanceId: id,
      agent: fc.oneof(
        fc.record({ answers: fc.constant(true as const), leaving: fc.constantFrom("no", "leaving", "let-go") }),
        fc.record({ answers: fc.constant(false as const), silentMs: fc.nat(2 * long) }),
      ),
      record: fc
        .record({ listed: fc.uniqueArray(id), wait_count: fc.constantFrom(1, 2), instance_id: id })
        .map(({ listed, ...rest }) =>
          record({ ...rest, ackers: listed.map((instance_id) => ({ instance_id, incarnation: "1" })) }),
        ),
      others: fc.uniqueArray(id),
    });
    fc.assert(
      fc.property(view, (seen) => {
        if (decideTermination(seen).do !== "take-out") return;
        expect(!seen.agent.answers && seen.agent.silentMs).toBeGreaterThanOrEqual(givenUpAfterMs);
        const { ackers: listed = [], instance_id, wait_count = 0 } = seen.record ?? {};
        if (instance_id !== seen.instanceId) return;
        // Every acknowledged write lies with wait_count of the listed: so many may be missing at most, less one.
        const missing = listed.filter((a) => a.instance_id === seen.instanceId || !seen.others.includes(a.instance_id));
        expect(missing.length).toBeLessThan(wait_count);
        expect(listed.length).toBeGreaterThanOrEqual(wait_count);
      }),
    );
  });
});
