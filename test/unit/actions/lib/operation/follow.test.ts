import { describe, expect, it } from "vitest";
import { type FollowOptions, type FollowSources, follow, type Start } from "#actions/lib/operation/follow.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { OperationRecord } from "#contract/operation.ts";
import { A, B, C, created, inStep, succeeded, undone } from "../../switchover/samples.ts";
import { fakeClock } from "../fake-clock.ts";

type Reading = OperationRecord | Failure | undefined;

/** Reads one after the other, the last for ever. */
const following = (readings: readonly Reading[], more: Partial<FollowOptions> = {}) => {
  const clock = fakeClock();
  const lines: string[] = [];
  const resumed: string[] = [];
  let reads = 0;
  const sources: FollowSources = {
    read: async () => {
      const reading = readings[Math.min(reads++, readings.length - 1)];
      if (reading instanceof Failure) throw reading;
      return reading;
    },
    resume: async (node) => {
      resumed.push(node);
      return { ok: true, json: {} };
    },
  };
  const options: FollowOptions = {
    clusterId: "orders",
    operationId: "op-1",
    clock,
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
    limitMs: 600_000,
    helpers: () => [C, A],
    ...more,
  };
  return { clock, lines, resumed, end: follow(sources, options) };
};

const away = new Failure("store-unavailable", { message: "dynamodb:GetItem got no answer." });

describe("an operation that is watched", () => {
  it("is told change by change, and its last record is the answer", async () => {
    const { lines, end, clock } = following([created, inStep(0), inStep(0), inStep(1), inStep(1), succeeded]);
    expect(await end).toBe(succeeded);
    expect(lines).toEqual([
      "op-1: switchover, asked for by https://github.example/o/r/actions/runs/7 by octocat",
      `op-1: created, ${B} is to run it`,
      "  ▶ drain, lets running transactions end",
      `op-1: running on ${B}`,
      "  ✔ drain, done, 10 ms",
      "  ▶ demote, makes the old primary read-only",
      "  ✔ demote, done, 11 ms",
      "  ✔ record, done, 12 ms",
      "op-1: ended, succeeded",
    ]);
    expect(clock.slept).toEqual(Array(5).fill(1000));
  });

  it("is told once a minute at most when nothing changes", async () => {
    const many = Array.from({ length: 150 }, (_, n) => ({ ...inStep(1), rvn: `beat-${n}` }));
    const { lines, end, resumed } = following([...many, succeeded]);
    await end;
    expect(lines.filter((line) => line.includes("watched for"))).toEqual([
      "op-1: running, in step demote; watched for 60 s",
      "op-1: running, in step demote; watched for 2 min",
    ]);
    expect(resumed).toEqual([]);
  });

  it("has other nodes look after it when its record stands still, which is said once", async () => {
    const { lines, end, resumed, clock } = following([
      ...Array<Reading>(45).fill(inStep(1)),
      { ...inStep(1), node: C, rvn: "taken" },
      undone,
    ]);
    expect((await end).state).toBe("undone");
    expect(resumed).toEqual([C, A]);
    expect(lines.filter((line) => line.includes("has stood still"))).toHaveLength(1);
    expect(lines).toContain(`op-1: ${C} runs it now`);
    expect(clock.now()).toBe(46_000);
  });

  it("says so when there is no other node", async () => {
    const { lines, end } = following([...Array<Reading>(30).fill(inStep(1)), succeeded], { helpers: () => [] });
    await end;
    expect(lines).toContain("op-1: there is no other node to ask");
  });

  it("goes on while the store is away for a while", async () => {
    const { end, lines } = following([inStep(0), ...Array<Reading>(100).fill(away), succeeded]);
    expect((await end).state).toBe("succeeded");
    expect(lines).toContain("op-1: dynamodb:GetItem got no answer. It is read again.");
  });

  it.each([
    ["the store stays away", [inStep(0), away], {}, "store-unavailable"],
    [
      "the credentials end",
      [inStep(0), new Failure("permission-denied", { message: "ExpiredToken" })],
      {},
      "permission-denied",
    ],
    ["it lasts longer than the limit", [{ ...inStep(0) }], { limitMs: 30_000 }, "timed-out"],
    ["its record vanishes", [inStep(0), undefined], {}, "unknown-operation"],
  ] as const)("goes on when %s, which is said with how to attach", async (_, readings, more, reason) => {
    const { end } = following(readings, more);
    await expect(end).rejects.toMatchObject({
      reason,
      changed: "The operation op-1 goes on without this run; what it has changed is in its record.",
      next: expect.stringContaining("with cluster-id orders, operation-id op-1 and mode attach"),
    });
  });

  it("goes on when the run is cancelled", async () => {
    const cancelled = new AbortController();
    cancelled.abort(new Failure("interrupted", { message: "The run was cancelled (SIGTERM)." }));
    const { end } = following([inStep(0)], { signal: cancelled.signal });
    await expect(end).rejects.toMatchObject({ reason: "interrupted", changed: expect.stringContaining("goes on") });
  });
});

describe("an operation that was to be begun", () => {
  const failure = new Failure("node-unreachable", { message: `${B} did not answer.` });
  const refused: Start = { begun: false, failure };

  it("is ended when its node did not begin it", async () => {
    const ended: OperationRecord[] = [];
    const { end } = following([created], {
      start: () => refused,
      endUnbegun: async (record) => ended.push(record) > 0,
    });
    await expect(end).rejects.toBe(failure);
    expect(ended).toEqual([created]);
  });

  it("is watched when it was begun although the answer was lost", async () => {
    const { end } = following([inStep(0), inStep(1), succeeded], {
      start: () => refused,
      endUnbegun: () => Promise.reject(new Error("must not be ended")),
    });
    expect(await end).toBe(succeeded);
  });

  it("is watched when a node begins it at the very moment that it was to be ended", async () => {
    const { end } = following([created, inStep(0), succeeded], { start: () => refused, endUnbegun: async () => false });
    expect(await end).toBe(succeeded);
  });

  it("is not ended because the run was cancelled", async () => {
    const cancelled = new AbortController();
    const { end } = following([created], {
      signal: cancelled.signal,
      start: () => {
        throw new Error("must not be asked");
      },
      endUnbegun: () => Promise.reject(new Error("must not be ended")),
    });
    cancelled.abort(new Failure("interrupted", { message: "The run was cancelled (SIGINT)." }));
    await expect(end).rejects.toMatchObject({ reason: "interrupted" });
  });

  it("is given to no other node while the first may still begin it", async () => {
    const { end, resumed } = following([...Array<Reading>(30).fill(created), succeeded], { start: () => undefined });
    await end;
    expect(resumed).toEqual([]);
  });

  it("is given to another node when its node said that it began, and nothing came of it", async () => {
    const { end, resumed } = following([...Array<Reading>(30).fill(created), succeeded], {
      start: () => ({ begun: true }),
    });
    await end;
    expect(resumed).toEqual([C]);
  });
});
