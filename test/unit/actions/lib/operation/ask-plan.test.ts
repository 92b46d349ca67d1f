import { describe, expect, it } from "vitest";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import type { Clock } from "#actions/lib/clock.ts";
import { askPlan } from "#actions/lib/operation/ask-plan.ts";
import { askOrder, tableOf } from "#actions/lib/operation/cluster.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { A, B, C, instances, plan } from "../../switchover/samples.ts";

/** A clock whose sleepers wait until the test says that time has passed. */
const heldClock = (): Clock & { pass(): void } => {
  const waiting: (() => void)[] = [];
  return {
    now: () => 0,
    sleep: (_, signal) =>
      new Promise((resolve, reject) => {
        waiting.push(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    pass: () => {
      for (const go of waiting.splice(0)) go();
    },
  };
};

const silent = "silent";
const failed = (detail: string, failure?: Failure): NodeAnswer => ({
  ok: false,
  problem: "failed",
  detail,
  ...(failure && { failure }),
});
const planned: NodeAnswer = { ok: true, json: plan };

const asking = (answers: Readonly<Record<string, NodeAnswer | typeof silent | Error>>) => {
  const clock = heldClock();
  const asked: string[] = [];
  const aborted: string[] = [];
  const answer = askPlan({
    clusterId: "orders",
    kind: "switchover",
    nodes: [B, C, A],
    ask: async (node, signal) => {
      asked.push(node);
      signal.addEventListener("abort", () => aborted.push(node));
      const given = answers[node] ?? silent;
      if (given instanceof Error) throw given;
      if (given !== silent) return given;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    clock,
    signal: new AbortController().signal,
    log: () => undefined,
  });
  return { clock, asked, aborted, answer };
};

const settled = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

describe("asking for a plan", () => {
  it("takes that of the first node", async () => {
    const { asked, answer } = asking({ [B]: planned });
    expect(await answer).toEqual(plan);
    expect(asked).toEqual([B]);
  });

  it.each([
    ["does not answer", failed("SSM delivered nothing in time")],
    ["says that it cannot", failed("x", new Failure("credentials-missing", { message: "no secret" }))],
    ["prints something else", { ok: true, json: { verdict: "healthy" } }],
    ["plans for another cluster", { ok: true, json: { ...plan, cluster_id: "billing" } }],
    ["plans something else", { ok: true, json: { ...plan, kind: "upgrade" } }],
    ["names a node that is not there", { ok: true, json: { ...plan, node: "i-00000000000000bad" } }],
  ] as const)("passes a node over that %s", async (_, first) => {
    const { asked, answer } = asking({ [B]: first as NodeAnswer, [C]: planned });
    expect(await answer).toEqual(plan);
    expect(asked).toEqual([B, C]);
  });

  it("does not wait for a silent node: the next is asked beside it, and the slower one is left", async () => {
    const { clock, asked, aborted, answer } = asking({ [B]: silent, [C]: silent, [A]: planned });
    await settled();
    expect(asked).toEqual([B]);
    clock.pass();
    await settled();
    expect(asked).toEqual([B, C]);
    clock.pass();
    expect(await answer).toEqual(plan);
    expect(aborted).toEqual([B, C, A]);
  });

  it("ends at once with a failure that lies in what was asked for", async () => {
    const failure = new Failure("bad-input", { message: "no" });
    const { asked, answer } = asking({ [B]: failed("x", failure) });
    await expect(answer).rejects.toBe(failure);
    expect(asked).toEqual([B]);
  });

  it("ends at once when AWS refuses the call", async () => {
    const { answer } = asking({ [B]: new Failure("permission-denied", { message: "no" }) });
    await expect(answer).rejects.toMatchObject({ reason: "permission-denied" });
  });

  it("tells what each node said when none makes a plan", async () => {
    const { answer } = asking({ [A]: failed("a"), [B]: failed("b"), [C]: failed("c") });
    await expect(answer).rejects.toMatchObject({
      reason: "node-unreachable",
      message: `No node of orders made a plan. ${B}: b. ${C}: c. ${A}: a.`,
    });
  });

  it("tells a node's own failure rather than that others were silent", async () => {
    const failure = new Failure("credentials-missing", { message: "no secret" });
    const { answer } = asking({ [A]: failed("a"), [B]: failed("b", failure), [C]: failed("c") });
    await expect(answer).rejects.toBe(failure);
  });
});

describe("the order in which nodes are asked", () => {
  const withTag = (instance: SeenInstance, tags: SeenInstance["tags"], state = "running"): SeenInstance => ({
    ...instance,
    tags,
    state,
  });
  const [a, b, c] = instances as [SeenInstance, SeenInstance, SeenInstance];

  it.each([
    ["replicas first, the primary last", [a, b, c], undefined, [B, C, A]],
    ["the target before all", [a, b, c], C, [C, B, A]],
    ["those that serve not yet after replicas", [a, withTag(b, {}), c], undefined, [C, B, A]],
    ["those that do not run not at all", [a, withTag(b, b.tags, "stopped"), c], undefined, [C, A]],
  ] as const)("is: %s", (_, given, first, order) => {
    expect(askOrder(given, first)).toEqual(order);
  });

  it("and the table is what the nodes' tags say", () => {
    expect(tableOf([a, withTag(b, { "percona:dynamodb_table": "other" })], "orders")).toBe("other");
    expect(tableOf([a], "orders")).toBe("percona-orders-locks");
  });
});
