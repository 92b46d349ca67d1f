import { describe, expect, it } from "vitest";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { attendTo, type FlowOptions, look, type OperationSources, watchLocks } from "#actions/operation/flow.ts";
import { logLines, summaryOf } from "#actions/operation/report.ts";
import { readRequest } from "#actions/operation/request.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { LeaseItem } from "#contract/lease.ts";
import type { OperationRecord } from "#contract/operation.ts";
import type { LockName } from "#contract/table.ts";
import { fakeClock } from "../lib/fake-clock.ts";
import { A, B, C, created, inStep, instances, succeeded, topology, undone } from "../switchover/samples.ts";

const now = new Date("2026-11-21T12:00:09Z");
const held: LeaseItem = {
  pk: "operation-lock-orders",
  owner: B,
  lease_ms: 3000,
  rvn: "l-1",
  fence: 12,
  acquired_at: "2026-11-21T12:00:00.000Z",
  purpose: "switchover op-1",
};

interface World {
  readonly records: readonly OperationRecord[];
  readonly locks: Partial<Record<LockName, LeaseItem>>;
  readonly answers: Readonly<Record<string, NodeAnswer>>;
  /** What reading the operation gives, one after the other, the last for ever. */
  readonly readings: readonly OperationRecord[];
}

const setUp = (change: Partial<World> = {}) => {
  const it: World = { records: [], locks: {}, answers: {}, readings: [], ...change };
  const asked: string[] = [];
  const watching: string[] = [];
  const lines: string[] = [];
  let reads = 0;
  const sources: OperationSources = {
    instances,
    operation: async (id) =>
      it.readings[Math.min(reads++, it.readings.length - 1)] ??
      it.records.find(({ operation_id }) => operation_id === id),
    liveOperations: async () => it.records.filter(({ state }) => state === "running" || state === "created"),
    lock: async (name) => it.locks[name],
    topology: async () => topology,
    ask: async (node, mode) => {
      asked.push(`${node} ${mode}`);
      return it.answers[node] ?? { ok: true, json: {} };
    },
  };
  const options: FlowOptions = {
    clock: fakeClock(),
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
    watching: (id) => watching.push(id),
  };
  return { sources, options, asked, watching, lines };
};

const requestOf = (inputs: Record<string, string>) => {
  const all: Record<string, string> = { "cluster-id": "orders", ...inputs };
  return readRequest({ input: (name) => all[name] ?? "" });
};

describe("showing", () => {
  it("tells the operation, who holds what, and how old the heartbeat is", async () => {
    const { sources } = setUp({ records: [inStep(1)], locks: { operation: held } });
    const view = await look(requestOf({ "operation-id": "op-1" }), sources);
    expect(logLines(view, now)).toEqual([
      `op-1: switchover, running, asked for by ${created.started_by} at ${created.created_at}, on ${B}. Its last heartbeat was 8 s ago.`,
      `lock operation: held by ${B} since ${held.acquired_at} for switchover op-1, fence 12`,
      "lock election: held by nobody",
      "lock backup: held by nobody",
      "lock binlog: held by nobody",
    ]);
    const summary = summaryOf(view, now);
    expect(summary).toMatch(/^## 🔵 <code>orders<\/code>: switchover <code>op-1<\/code> is under way: running/);
    expect(summary).toContain("Its last heartbeat was 8 s ago.");
    expect(summary).toContain(`| operation | <code>${B}</code> | switchover op-1 |`);
    expect(summary).toContain("  mode: attach");
  });

  it("tells all that are under way when none is named", async () => {
    const both = [inStep(1), { ...created, operation_id: "op-2" }];
    const summary = summaryOf(await look(requestOf({}), setUp({ records: both }).sources), now);
    expect(summary).toMatch(/^## 🔵 <code>orders<\/code>: 2 operations are under way/);
    const none = summaryOf(await look(requestOf({}), setUp({ records: [succeeded] }).sources), now);
    expect(none).toMatch(/^## 🟢 <code>orders<\/code>: no operation is under way/);
  });

  it("tells why an operation failed", async () => {
    const view = await look(requestOf({ "operation-id": "op-1" }), setUp({ records: [undone] }).sources);
    expect(summaryOf(view, now)).toMatch(
      /has ended: undone\n\n\*\*lag-too-high\*\*: i-0000000000000000b was 90 s behind/,
    );
  });

  it("says when there is no such operation, and names those that there are", async () => {
    const { sources } = setUp({ records: [inStep(1)] });
    await expect(look(requestOf({ "operation-id": "op-9" }), sources)).rejects.toMatchObject({
      reason: "unknown-operation",
      message: "The cluster orders has no operation op-9. Under way: op-1 (switchover, running).",
    });
  });

  it.each([
    ["renewed", { ...held, rvn: "l-2" }, true],
    ["left by a dead holder", held, false],
  ])("tells whether a lock is %s", async (_, after, renewed) => {
    const { options } = setUp();
    const [seen] = await watchLocks([{ name: "operation", item: held }], { lock: async () => after }, options);
    expect(seen?.renewed).toBe(renewed);
    expect((options.clock as ReturnType<typeof fakeClock>).slept).toEqual([3000]);
  });

  it("does not wait for locks that are free, or renewed seldom", async () => {
    const { options, sources } = setUp();
    const { owner: _, ...free } = held;
    const locks = [
      { name: "operation", item: free },
      { name: "election", item: undefined },
      { name: "binlog", item: { ...held, lease_ms: 30_000 } },
    ] as const;
    expect(await watchLocks(locks, sources, options)).toEqual(locks);
    expect((options.clock as ReturnType<typeof fakeClock>).slept).toEqual([]);
  });
});

describe("attaching and aborting", () => {
  const running = inStep(1);

  it("watches to the end, and asks for nothing", async () => {
    const { sources, options, asked, watching } = setUp({ readings: [running, succeeded] });
    expect(await attendTo(requestOf({ mode: "attach", "operation-id": "op-1" }), running, sources, options)).toBe(
      succeeded,
    );
    expect([asked, watching]).toEqual([[], ["op-1"]]);
  });

  const abort = requestOf({ mode: "abort", "operation-id": "op-1" });
  const no = (detail: string, failure?: Failure): NodeAnswer => ({
    ok: false,
    problem: "no-answer",
    detail,
    ...(failure && { failure }),
  });

  it("asks the node that runs it to end it", async () => {
    const aborted: OperationRecord = { ...undone, state: "aborted" };
    const { sources, options, asked } = setUp({ readings: [running, aborted] });
    expect(await attendTo(abort, running, sources, options)).toBe(aborted);
    expect(asked).toEqual([`${B} abort`]);
  });

  it("asks another node when that one does not answer", async () => {
    const { sources, options, asked } = setUp({
      readings: [undone],
      answers: { [B]: no("gone"), [C]: no("gone too") },
    });
    await attendTo(abort, running, sources, options);
    expect(asked).toEqual([`${B} abort`, `${C} abort`, `${A} abort`]);
  });

  it("says that it goes on when no node took the wish", async () => {
    const { sources, options, watching } = setUp({ answers: { [A]: no("a"), [B]: no("b"), [C]: no("c") } });
    await expect(attendTo(abort, running, sources, options)).rejects.toMatchObject({
      reason: "node-unreachable",
      changed: "The operation op-1 goes on.",
    });
    expect(watching).toEqual([]);
  });

  it("tells why the nodes refused it", async () => {
    const refusal = new Failure("bad-input", { message: "A failover cannot be aborted." });
    const { sources, options } = setUp({ answers: { [A]: no("a"), [B]: no("b", refusal), [C]: no("c") } });
    await expect(attendTo(abort, running, sources, options)).rejects.toBe(refusal);
  });

  it.each([succeeded, undone])("leaves alone what has ended", async (record) => {
    const { sources, options, asked, lines } = setUp();
    expect(await attendTo(abort, record, sources, options)).toBe(record);
    expect(asked).toEqual([]);
    expect(lines).toEqual([`op-1: it has ended as ${record.state}; nothing is done`]);
  });
});

it.each(["attach", "abort"])("mode %s needs an operation id", (mode) => {
  expect(() => requestOf({ mode })).toThrow(expect.objectContaining({ reason: "bad-input" }));
});
