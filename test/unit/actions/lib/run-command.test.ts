import { describe, expect, it } from "vitest";
import { answerOf, askNode, type Invocation, type RunCommand } from "#actions/lib/run-command.ts";
import { fakeClock } from "./fake-clock.ts";

const invocation = (status: string, more: Partial<Invocation> = {}): Invocation => ({
  status,
  exitCode: 0,
  stdout: "",
  stderr: "",
  ...more,
});

/** SSM that tells one state after the other, the last for ever. */
const ssmWith = (states: readonly (Invocation | undefined)[]): RunCommand & { readonly sent: unknown[] } => {
  const sent: unknown[] = [];
  let asked = 0;
  return {
    sent,
    send: async (request) => {
      sent.push(request);
      return { commandId: "c-1" };
    },
    invocation: async () => states[Math.min(asked++, states.length - 1)],
  };
};

const request = {
  clusterId: "orders",
  operation: "status",
  instanceId: "i-0000000000000000a",
  timeoutMs: 60_000,
} as const;
const never = new AbortController().signal;

describe("askNode", () => {
  it("sends the cluster's document, and gives the JSON that the node printed", async () => {
    const ssm = ssmWith([
      undefined,
      invocation("Pending"),
      invocation("InProgress"),
      invocation("Success", { stdout: '{"a":1}\n' }),
    ]);
    expect(await askNode(ssm, request, fakeClock(), never)).toEqual({ ok: true, json: { a: 1 } });
    expect(ssm.sent).toEqual([
      { document: "percona-orders-status", instanceId: "i-0000000000000000a", parameters: {} },
    ]);
  });

  it("bears for 30 s that SSM does not know the invocation, and no longer", async () => {
    const clock = fakeClock();
    const answer = await askNode(ssmWith([undefined]), request, clock, never);
    expect(answer).toMatchObject({ ok: false, problem: "no-answer" });
    expect(clock.now()).toBeGreaterThanOrEqual(30_000);
    expect(clock.now()).toBeLessThan(33_000);
  });

  it("ends at its deadline, and says how far it came", async () => {
    const clock = fakeClock();
    const answer = await askNode(ssmWith([invocation("Pending")]), { ...request, timeoutMs: 5000 }, clock, never);
    expect(answer).toEqual({ ok: false, problem: "no-answer", detail: "no answer within 5 s, last status Pending" });
    expect(clock.now()).toBe(5000);
  });

  it("asks less often as time goes on", async () => {
    const clock = fakeClock();
    await askNode(ssmWith([invocation("InProgress")]), request, clock, never);
    expect(clock.slept[0]).toBeLessThan(200);
    expect(Math.max(...clock.slept)).toBe(2000);
    expect(clock.slept.length).toBeLessThan(45);
  });

  it("tells what SSM refused", async () => {
    const ssm: RunCommand = {
      send: async () => ({ refused: "not-managed", detail: "SSM does not manage it" }),
      invocation: () => Promise.reject(new Error("must not be asked")),
    };
    expect(await askNode(ssm, request, fakeClock(), never)).toEqual({
      ok: false,
      problem: "not-managed",
      detail: "SSM does not manage it",
    });
  });

  it("stops when it is told to", async () => {
    const stopped = new AbortController();
    stopped.abort(new Error("cancelled"));
    await expect(askNode(ssmWith([undefined]), request, fakeClock(), stopped.signal)).rejects.toThrow("cancelled");
  });
});

describe("answerOf", () => {
  it.each([
    ["Undeliverable", "undeliverable"],
    ["DeliveryTimedOut", "delivery-timed-out"],
    ["Delivery Timed Out", "delivery-timed-out"],
    ["ExecutionTimedOut", "execution-timed-out"],
    ["Cancelled", "cancelled"],
    ["Terminated", "cancelled"],
    ["Failed", "failed"],
    ["AccessDenied", "failed"],
    ["InvalidPlatform", "failed"],
  ])("%s is %s", (status, problem) => {
    expect(answerOf(invocation(status))).toMatchObject({ ok: false, problem });
  });

  it.each(["Pending", "InProgress", "Delayed", "Cancelling"])("%s is still under way", (status) => {
    expect(answerOf(invocation(status))).toBeUndefined();
  });

  it("tells the last lines of a script that failed", () => {
    const failed = invocation("Failed", { exitCode: 3, stderr: "starting\na\nb\nno such file\n" });
    expect(answerOf(failed)).toMatchObject({ detail: "Failed, exit code 3: a b no such file" });
  });

  it("gives the reason of a script that failed with one", () => {
    const report = { failure_reason: "lag-too-high", message: "90 s behind", changed: "Nothing.", next: "Wait." };
    const answer = answerOf(invocation("Failed", { exitCode: 1, stdout: JSON.stringify(report), stderr: "log\n" }));
    expect(answer).toMatchObject({
      ok: false,
      problem: "failed",
      detail: "Failed, exit code 1: log",
      failure: { reason: "lag-too-high", message: "90 s behind", changed: "Nothing.", next: "Wait." },
    });
  });

  it.each(["", "{}", '{"failure_reason":"no-such-reason","message":"","changed":"","next":""}'])(
    "has no reason of a script that printed %j",
    (stdout) => {
      expect(answerOf(invocation("Failed", { exitCode: 1, stdout }))).not.toHaveProperty("failure");
    },
  );

  it("does not take an answer that SSM cut for a whole one", () => {
    const cut = invocation("Success", { stdout: "x".repeat(24_000) });
    expect(answerOf(cut)).toMatchObject({ ok: false, problem: "answer-too-long" });
  });

  it("tells what is not JSON", () => {
    expect(answerOf(invocation("Success", { stdout: "Usage: operation" }))).toMatchObject({
      problem: "answer-not-json",
      detail: "the answer is not JSON: Usage: operation",
    });
  });
});
