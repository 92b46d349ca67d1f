import { describe, expect, it } from "vitest";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { type FlowOptions, type SwitchoverSources, switchOver } from "#actions/switchover/flow.ts";
import { readRequest } from "#actions/switchover/request.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { OperationPlan, OperationRecord } from "#contract/operation.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import { fakeClock } from "../lib/fake-clock.ts";
import {
  A,
  B,
  C,
  created,
  hash,
  inStep,
  instances,
  plan,
  succeeded,
  topology,
  topologyAfter,
  undone,
} from "./samples.ts";

interface World {
  /** The table's operation records by id. */
  readonly records: Map<string, OperationRecord>;
  topology: TopologyRecord | undefined;
  plan: OperationPlan;
  /** What a node does when it is asked to begin; the answer to it. */
  begin: (world: World) => NodeAnswer;
  /** Called before each conditional write; a rival may be quicker. */
  beforeWrite: (world: World) => void;
  readonly asked: string[];
  readonly watching: string[];
  readonly lines: string[];
}

const world = (change: Partial<World> = {}): World => ({
  records: new Map(),
  topology,
  plan,
  begin: (it) => {
    const record = it.records.get("op-1") ?? created;
    it.records.set("op-1", { ...succeeded, attempt: record.attempt });
    it.topology = topologyAfter;
    return { ok: true, json: { operation_id: "op-1", state: "running", unit: "percona-operation-op-1" } };
  },
  beforeWrite: () => undefined,
  asked: [],
  watching: [],
  lines: [],
  ...change,
});

const sourcesOf = (it: World): SwitchoverSources => ({
  instances,
  clusterOf: async (id) => ({ "i-0000000000000000d": "billing", "i-0000000000000000e": "orders" })[id],
  topology: async () => it.topology,
  operation: async (id) => it.records.get(id),
  liveOperations: async () =>
    [...it.records.values()].filter(({ state }) => state === "created" || state === "running"),
  write: async (record, replaces) => {
    it.beforeWrite(it);
    if (it.records.get(record.operation_id)?.rvn !== replaces) return false;
    it.records.set(record.operation_id, record);
    return true;
  },
  ask: async (node, document, parameters) => {
    it.asked.push(`${node} ${document} ${parameters.Mode}`);
    if (parameters.Mode === "plan") return { ok: true, json: it.plan };
    return it.begin(it);
  },
});

const optionsOf = (it: World): FlowOptions => {
  let written = 0;
  return {
    clock: fakeClock(),
    wallClock: () => new Date("2026-11-21T12:00:00Z"),
    unique: () => `rvn-${++written}`,
    signal: new AbortController().signal,
    log: (line) => it.lines.push(line),
    operationId: "op-1",
    requestedBy: "a test",
    watching: (id) => it.watching.push(id),
  };
};

const go = (it: World, inputs: Record<string, string> = {}) => {
  const all: Record<string, string> = { "cluster-id": "orders", ...inputs };
  return switchOver(readRequest({ input: (name) => all[name] ?? "" }), sourcesOf(it), optionsOf(it));
};
const apply = (it: World, inputs: Record<string, string> = {}) => go(it, { mode: "apply", ...inputs });

const refused: OperationPlan = {
  ...plan,
  refusals: [
    { reason: "lag-too-high", message: `${B} is 90 s behind, 10 s are allowed.` },
    { reason: "long-transactions", message: "Two are older than 60 s." },
  ],
};
const nothing: OperationPlan = { ...refused, changes: false, steps: [] };

describe("mode plan", () => {
  it("shows the plan and writes nothing", async () => {
    const it = world();
    expect(await go(it)).toEqual({ is: "planned", plan, topology });
    expect(it.asked).toEqual([`${B} switchover plan`]);
    expect([it.records.size, it.watching]).toEqual([0, []]);
  });

  it("fails with the plan's first refusal", async () => {
    expect(await go(world({ plan: refused }))).toMatchObject({
      is: "refused",
      failure: {
        reason: "lag-too-high",
        message: `${B} is 90 s behind, 10 s are allowed. Also: long-transactions.`,
      },
    });
  });

  it("is content when nothing has to be changed, whatever would have kept it", async () => {
    expect(await go(world({ plan: nothing }), { "expected-plan-hash": "b".repeat(64) })).toMatchObject({
      is: "nothing-to-do",
    });
  });

  it.each([
    ["target", "i-0000000000000000d", "carries the tag cluster_id=billing, not orders"],
    ["expected-primary", "i-0000000000000000d", "carries the tag cluster_id=billing, not orders"],
    ["target", "i-0000000000000000f", "is no instance that is there with the tag cluster_id=orders"],
    ["target", "i-0000000000000000e", "is no instance that is there"],
  ])("refuses a %s %s", async (input, id, message) => {
    const it = world();
    await expect(go(it, { [input]: id })).rejects.toMatchObject({
      reason: "instance-not-in-cluster",
      message: expect.stringContaining(message),
    });
    expect(it.asked).toEqual([]);
  });

  it("leaves it to the plan to refuse an expected primary of this cluster that is gone", async () => {
    const gone = { "expected-primary": "i-0000000000000000e" };
    expect(await go(world(), gone)).toMatchObject({ is: "refused", failure: { reason: "unexpected-primary" } });
  });
});

describe("mode apply", () => {
  it("records the operation with all of its plan, has the plan's node begin it, and tells its end", async () => {
    const writes: OperationRecord[] = [];
    const it = world();
    const sources = sourcesOf(it);
    const request = readRequest({ input: (name) => ({ "cluster-id": "orders", mode: "apply" })[name] ?? "" });
    const watched: SwitchoverSources = {
      ...sources,
      write: async (record, replaces) => {
        writes.push(record);
        return sources.write(record, replaces);
      },
    };
    expect(await switchOver(request, watched, optionsOf(it))).toEqual({
      is: "ended",
      record: succeeded,
      before: false,
      topology: topologyAfter,
    });
    expect(writes).toEqual([{ ...created, started_by: "a test", rvn: "rvn-1" }]);
    expect(it.asked).toEqual([`${B} switchover plan`, `${B} switchover apply`]);
    expect(it.watching).toEqual(["op-1"]);
  });

  it.each([
    ["the plan refuses", { plan: refused }, {}, "lag-too-high"],
    ["another plan was approved", {}, { "expected-plan-hash": "b".repeat(64) }, "plan-changed"],
    ["another node is primary", {}, { "expected-primary": C }, "unexpected-primary"],
  ] as const)("begins nothing when %s", async (_, change, inputs, reason) => {
    const it = world(change);
    expect(await apply(it, inputs)).toMatchObject({ is: "refused", failure: { reason } });
    expect([it.records.size, it.watching]).toEqual([0, []]);
  });

  it("needs no record when nothing has to be changed", async () => {
    const it = world({ plan: nothing });
    expect(await apply(it, { "expected-primary": A })).toMatchObject({ is: "nothing-to-do" });
    expect(it.records.size).toBe(0);
  });

  it("accepts the plan that was approved", async () => {
    expect(await apply(world(), { "expected-plan-hash": hash, "expected-primary": A })).toMatchObject({ is: "ended" });
  });

  it.each([
    ["a switchover", { kind: "switchover" }, "operation-in-progress"],
    ["a failover", { kind: "failover" }, "operation-in-progress"],
    ["an upgrade", { kind: "upgrade" }, "operation-in-progress"],
    ["a backup", { kind: "backup" }, undefined],
    ["a verification", { kind: "verification" }, undefined],
  ] as const)("while %s is under way", async (_, change, reason) => {
    const other: OperationRecord = { ...inStep(1), operation_id: "op-other", ...change };
    const it = world({ records: new Map([["op-other", other]]) });
    if (reason === undefined) {
      expect(await apply(it)).toMatchObject({ is: "ended" });
      return;
    }
    await expect(apply(it)).rejects.toMatchObject({
      reason,
      message: `The ${change.kind} op-other has not ended: it is running, was asked for by ${created.started_by} at ${created.created_at} and runs on ${B}.`,
      next: expect.stringContaining("operation-id op-other and mode attach"),
    });
    expect([...it.records.keys()]).toEqual(["op-other"]);
  });

  const table = (record: OperationRecord) => new Map([["op-1", record]]);

  it("watches the same operation when it is under way, and begins nothing", async () => {
    const it = world({ records: table(inStep(1)) });
    const sources = sourcesOf(it);
    let reads = 0;
    const request = readRequest({ input: (name) => ({ "cluster-id": "orders", mode: "apply" })[name] ?? "" });
    const ending: SwitchoverSources = {
      ...sources,
      operation: async () => (reads++ < 3 ? inStep(1) : succeeded),
    };
    expect(await switchOver(request, ending, optionsOf(it))).toMatchObject({ is: "ended", before: false });
    expect([it.asked, it.watching]).toEqual([[], ["op-1"]]);
  });

  it("has the node begin an operation whose runner died before it could", async () => {
    const it = world({ records: table(created) });
    expect(await apply(it)).toMatchObject({ is: "ended", record: { state: "succeeded" } });
    expect(it.asked).toEqual([`${B} switchover apply`]);
  });

  it("gives the same result when it has succeeded before", async () => {
    const it = world({ records: table(succeeded), topology: topologyAfter });
    expect(await apply(it)).toEqual({ is: "ended", record: succeeded, before: true, topology: topologyAfter });
    expect([it.asked, it.watching]).toEqual([[], []]);
  });

  it("tries once more what was undone", async () => {
    const it = world({ records: table(undone) });
    expect(await apply(it)).toMatchObject({ is: "ended", record: { state: "succeeded", attempt: 2 } });
  });

  it("refuses the id of another operation", async () => {
    const it = world({ records: table({ ...succeeded, kind: "failover" }) });
    await expect(apply(it)).rejects.toMatchObject({
      reason: "operation-id-taken",
      message: "The operation id op-1 cannot be used: it belongs to a failover, not to a switchover.",
    });
  });

  it("watches the operation of a run that was quicker under the same id", async () => {
    const it = world({
      beforeWrite: (there) => {
        if (!there.records.has("op-1")) there.records.set("op-1", { ...created, rvn: "rival" });
      },
    });
    expect(await apply(it)).toMatchObject({ is: "ended", record: { state: "succeeded" } });
    expect(it.asked.filter((each) => each.endsWith("apply"))).toHaveLength(1);
  });

  it("gives up when the record is another one each time", async () => {
    let n = 0;
    const it = world({
      beforeWrite: (there) => {
        there.records.set("op-1", { ...undone, rvn: `rival-${++n}` });
      },
    });
    await expect(apply(it)).rejects.toMatchObject({ reason: "operation-id-taken" });
    expect(n).toBe(3);
  });

  it.each([
    [
      "did not answer",
      { ok: false, problem: "undeliverable", detail: "SSM could not deliver the command" },
      "node-unreachable",
      `${B} was to run the switchover and did not begin it: SSM could not deliver the command.`,
    ],
    [
      "said why not",
      {
        ok: false,
        problem: "failed",
        detail: "exit code 1",
        failure: new Failure("disk-full", { message: "No room for the journal." }),
      },
      "disk-full",
      "No room for the journal.",
    ],
  ] as const)("ends the record when the node %s", async (_, answer, reason, message) => {
    const it = world({ begin: () => answer });
    await expect(apply(it)).rejects.toMatchObject({ reason, message });
    expect(it.records.get("op-1")).toMatchObject({ state: "undone", failure_reason: reason, rvn: "rvn-2" });
  });

  it("watches an operation that was begun although the answer was lost", async () => {
    const it = world();
    const { begin } = it;
    it.begin = (there) => {
      begin(there);
      return { ok: false, problem: "no-answer", detail: "no answer within 35 s" };
    };
    expect(await apply(it)).toMatchObject({ is: "ended", record: { state: "succeeded" } });
  });

  it("says what may be when the store does not answer the write", async () => {
    const it = world({
      beforeWrite: () => {
        throw new Failure("store-unavailable", { message: "dynamodb:PutItem got no answer." });
      },
    });
    await expect(apply(it)).rejects.toMatchObject({
      reason: "store-unavailable",
      changed: expect.stringContaining("The operation's record may have been written"),
      next: expect.stringContaining("Run it again with the same operation id."),
    });
  });
});
