import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { GroupInstance } from "#node/lib/aws/autoscaling.ts";
import { givenUpAfterMs, replacedWithinMs } from "#node/lib/cluster/termination-decision.ts";
import type { AgentReply } from "#node/lib/lifecycle/ask-agent.ts";
import { type TerminationParts, watchTermination } from "#node/lib/lifecycle/watch-termination.ts";
import { n1, n2, n3, record } from "../cluster/samples.ts";

const ackers = [n2, n3].map((instance_id) => ({ instance_id, incarnation: `${instance_id}/1` }));
const silent: AgentReply = { answered: false, because: "silent" };
const leaving: AgentReply = { answered: true, leaving: "leaving" };
const well: AgentReply = { answered: true, leaving: "no" };

/** A cluster in which n1 leads; its clock moves when somebody waits. What happens in it is given by time. */
const world = (events: {
  readonly state?: (at: number) => string | undefined;
  readonly reply?: (id: string, at: number) => AgentReply;
  readonly record?: (at: number) => TopologyRecord | undefined;
  /** Of the function's own time, milliseconds. */
  readonly timeMs?: number;
  readonly answers?: "done" | "no-pending-action";
  readonly registered?: readonly string[];
}) => {
  let at = 0;
  const done: string[] = [];
  const lines: string[] = [];
  const targets = new Set(events.registered ?? ["arn:w", "arn:r"]);
  const member = (instanceId: string, lifecycleState: string): GroupInstance => ({
    instanceId,
    lifecycleState,
    availabilityZone: "a",
    healthy: true,
    protectedFromScaleIn: false,
  });
  const line = (level: string) => (text: string) => void lines.push(`${level} ${text}`);
  const parts = (leavingId: string): TerminationParts => ({
    autoScaling: {
      describeGroup: async (name) => {
        const state = events.state ? events.state(at) : "Terminating:Wait";
        const others = [n1, n2, n3].filter((id) => id !== leavingId).map((id) => member(id, "InService"));
        const instances = [...others, ...(state === undefined ? [] : [member(leavingId, state)])];
        return { name, minSize: 3, maxSize: 3, desiredCapacity: 3, instances };
      },
      completeLifecycleAction: async (hook, group, id, result) => {
        done.push(`complete ${hook} ${group} ${id} ${result} at ${Math.floor(at / 1000)} s`);
        return events.answers ?? "done";
      },
      recordHeartbeat: async (hook, group, id) => {
        done.push(`heartbeat ${hook} ${group} ${id}`);
        return "done";
      },
    },
    targetGroups: {
      targetHealth: async (arn, instanceId) => ({
        instanceId,
        state: targets.has(arn) ? "unhealthy" : "unused",
        registered: targets.has(arn),
        description: undefined,
      }),
      deregister: async (arn, id) => {
        targets.delete(arn);
        done.push(`deregister ${arn} ${id}`);
      },
    },
    topology: { read: async () => (events.record ? events.record(at) : record({ ackers })) },
    askAgent: async (id) => {
      at += 1000;
      return id === leavingId ? (events.reply?.(id, at) ?? silent) : (events.reply?.(id, at) ?? well);
    },
    asgName: "g",
    targetGroupArns: ["arn:w", "arn:r"],
    log: { info: line("info"), warn: line("warn"), error: line("error"), debug: line("debug") },
    now: () => at,
    sleep: async (ms) => {
      at += ms;
    },
    remainingMs: () => (events.timeMs ?? 900_000) - at,
  });
  return { watch: (id: string) => watchTermination(parts(id), id), done, lines, seconds: () => at / 1000 };
};

describe("an instance that is about to be terminated", () => {
  it("is left to itself while its agent answers, and nothing is done once it has left", async () => {
    const { watch, done } = world({
      reply: () => leaving,
      state: (at) => (at < 60_000 ? "Terminating:Wait" : undefined),
    });
    expect(await watch(n3)).toMatchObject({
      outcome: "not-ours",
      because: expect.stringContaining("not in the group"),
    });
    expect(done).toEqual([]);
  });

  it("is not asked at all when the event came late", async () => {
    const { watch, done, seconds } = world({ state: () => "Terminating:Proceed" });
    expect(await watch(n3)).toMatchObject({ outcome: "not-ours", because: expect.stringContaining("Proceed") });
    expect([done, seconds()]).toEqual([[], 0]);
  });

  it("is taken out when it is silent: out of both target groups first, then its hook, long before its own time", async () => {
    const { watch, done, seconds } = world({});
    expect(await watch(n3)).toMatchObject({ outcome: "taken-out" });
    expect(done).toEqual([
      `deregister arn:w ${n3}`,
      `deregister arn:r ${n3}`,
      expect.stringMatching(`^complete raft-terminate g ${n3} CONTINUE`),
    ]);
    expect(seconds()).toBeGreaterThanOrEqual(givenUpAfterMs / 1000);
    expect(seconds()).toBeLessThan(60);
  });

  it("is taken out by two calls at once, and the second finds nothing to do", async () => {
    const { watch, done } = world({ registered: [], answers: "no-pending-action" });
    expect(await watch(n3)).toMatchObject({ outcome: "taken-out", because: expect.stringContaining("already") });
    expect(done).toHaveLength(1);
  });

  it("is not taken out when it was silent for a while only", async () => {
    const back = givenUpAfterMs - 5000;
    const { watch, done } = world({
      reply: (_, at) => (at < back || (at > 2 * back && at < 3 * back) ? silent : leaving),
      state: (at) => (at < 200_000 ? "Terminating:Wait" : undefined),
    });
    expect(await watch(n3)).toMatchObject({ outcome: "not-ours" });
    expect(done).toEqual([]);
  });

  it("is not taken out on the word of a service that fails: the silence counts from the next answer on", async () => {
    const { watch, lines, seconds } = world({
      reply: (_, at) => {
        if (at > 30_000 && at < 60_000) throw new Failure("aws-unavailable", { message: "SSM does not answer." });
        return silent;
      },
    });
    expect(await watch(n3)).toMatchObject({ outcome: "taken-out" });
    expect(seconds()).toBeGreaterThanOrEqual(60 + givenUpAfterMs / 1000 - 5);
    expect(lines.filter((line) => line.startsWith("warn"))).not.toEqual([]);
  });
});

describe("a primary that is about to be terminated", () => {
  it("keeps its hook for as long as it hands over, a heartbeat a minute", async () => {
    const { watch, done } = world({
      reply: () => leaving,
      state: (at) => (at < 400_000 ? "Terminating:Wait" : undefined),
    });
    await watch(n1);
    expect(new Set(done)).toEqual(new Set([`heartbeat raft-terminate g ${n1}`]));
    expect(done.length).toBeGreaterThanOrEqual(6);
    expect(done.length).toBeLessThanOrEqual(8);
  });

  it("is taken out as soon as the others have replaced it", async () => {
    const { watch, done, seconds } = world({
      record: (at) => record(at < 50_000 ? { ackers } : { instance_id: n2, ackers: ackers.slice(1), timeline: 2 }),
    });
    expect(await watch(n1)).toMatchObject({ outcome: "taken-out" });
    expect(done.at(-1)).toContain("CONTINUE");
    expect(seconds()).toBeLessThan(65);
  });

  it("is taken out when nobody replaces it as long as it lives, and its ackers are well", async () => {
    const { watch, seconds } = world({});
    expect(await watch(n1)).toMatchObject({ outcome: "taken-out" });
    expect(seconds()).toBeGreaterThanOrEqual((givenUpAfterMs + replacedWithinMs) / 1000);
    expect(seconds()).toBeLessThan(150);
  });

  it("is left to the hook's own time when nobody could replace it, which is an error that somebody reads", async () => {
    const { watch, done, lines } = world({
      reply: (id) => (id === n2 ? well : silent),
      state: (at) => (at < 300_000 ? "Terminating:Wait" : "Terminating:Proceed"),
    });
    expect(await watch(n1)).toMatchObject({ outcome: "not-ours" });
    expect(done).toEqual([]);
    expect(lines.filter((line) => line.startsWith("error"))).toEqual([
      expect.stringMatching("1 of the 2 ackers that a promotion needs answer; the hook's own time decides"),
    ]);
  });
});

describe("a function whose own time ends", () => {
  it("says in time what is left", async () => {
    const { watch, seconds } = world({ reply: () => leaving, timeMs: 120_000 });
    const ended = watch(n1);
    await expect(ended).rejects.toMatchObject({ reason: "timed-out" });
    await expect(ended).rejects.toThrow(/still waits.*hands over itself/);
    expect(seconds()).toBeLessThan(118);
  });

  it("says what failed, when it could see nothing", async () => {
    const { watch, done } = world({
      record: () => {
        throw new Failure("store-unavailable", { message: "No answer." });
      },
      timeMs: 120_000,
    });
    await expect(watch(n3)).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(done).toEqual([]);
  });
});
