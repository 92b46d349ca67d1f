import { describe, expect, it } from "vitest";
import type { Outcome } from "#actions/switchover/flow.ts";
import { logLines, planOf, summaryOf } from "#actions/switchover/report.ts";
import { planParameters, readRequest } from "#actions/switchover/request.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { A, B, C, hash, instances, plan, succeeded, topology, topologyAfter, undone } from "./samples.ts";

const requestOf = (inputs: Record<string, string>) => {
  const all: Record<string, string> = { "cluster-id": "orders", ...inputs };
  return readRequest({ input: (name) => all[name] ?? "" });
};
const request = requestOf({ target: B, "max-lag": "30s" });

const planned: Outcome = { is: "planned", plan, topology };

describe("the summary of a plan", () => {
  it("begins with the verdict, and ends with what applies it", () => {
    expect(summaryOf(planned, request, instances)).toMatchInlineSnapshot(`
      "## 🔵 <code>orders</code>: the primary will change from <code>i-0000000000000000a</code> to <code>i-0000000000000000b</code>

      **Nothing was changed yet.** This is the plan.

      |  | Before | After |
      | --- | --- | --- |
      | Takes writes | <code>i-0000000000000000a</code> at 10.0.1.11 | <code>i-0000000000000000b</code> at 10.0.2.12 |
      | Becomes a replica |  | <code>i-0000000000000000a</code> at 10.0.1.11 |

      | Node | Address | role | version | Seen |
      | --- | --- | --- | --- | --- |
      | <code>i-0000000000000000a</code> (primary) | 10.0.1.11 | primary | 9.7.4 |  |
      | <code>i-0000000000000000b</code> (next primary) | 10.0.2.12 | replica | 9.7.4 | replica, MySQL 9.7.4, read-only, 0 s behind, receiver yes, acker, 0 client sessions |
      | <code>i-0000000000000000c</code> | 10.0.3.13 | replica | 9.7.4 |  |

      \`\`\`mermaid
      flowchart LR
        subgraph before
          b0["primary<br>i-0000000000000000a<br>10.0.1.11"]
          b1["replica<br>i-0000000000000000b<br>10.0.2.12"]
          b2["replica<br>i-0000000000000000c<br>10.0.3.13"]
          b0 ==> b1
          b0 ==> b2
        end
        subgraph after
          a0["replica<br>i-0000000000000000a<br>10.0.1.11"]
          a1["primary<br>i-0000000000000000b<br>10.0.2.12"]
          a2["replica<br>i-0000000000000000c<br>10.0.3.13"]
          a1 ==> a0
          a1 ==> a2
        end
        before --> after
      \`\`\`

      Steps, run by <code>i-0000000000000000b</code>:

      1. <code>drain</code> lets running transactions end
      2. <code>demote</code> makes the old primary read-only
      3. <code>record</code> records the new primary

      <details><summary>What was seen</summary>

      | What was seen, and the limits |  |
      | --- | --- |
      | listed ackers | 2, 1 are needed |
      | max lag seconds | 10 |
      | max transaction age seconds | 60 |
      | timeout seconds | 60 |

      </details>

      Plan hash: <code>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</code>

      To apply exactly this plan:

      \`\`\`yaml
      uses: infrahouse/percona-actions/switchover@v1
      with:
        mode: apply
        cluster-id: orders
        target: i-0000000000000000b
        max-lag: 30s
        expected-plan-hash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
      \`\`\`
      "
    `);
  });

  it("says first why it is refused, and does not say how to apply it", () => {
    const failure = new Failure("lag-too-high", { message: `${B} is 90 s behind.` });
    const refusals = [
      { reason: "lag-too-high", message: `${B} is 90 s behind.` },
      { reason: "long-transactions", message: "Two are older than 60 s." },
    ] as const;
    const text = summaryOf(
      { is: "refused", plan: { ...plan, refusals: [...refusals] }, topology, failure },
      request,
      instances,
    );
    expect(text).toMatch(
      /^## 🔴 <code>orders<\/code>: the switchover is refused: lag-too-high\n\n\*\*Nothing was changed/,
    );
    expect(text).toContain("| <code>long-transactions</code> | Two are older than 60 s. |");
    expect(text).not.toContain("expected-plan-hash");
  });

  it("says when nothing has to be changed", () => {
    const done = { ...plan, changes: false, steps: [], decided: { ...plan.decided, primary: B, candidate: B } };
    const text = summaryOf({ is: "nothing-to-do", plan: done, topology: topologyAfter }, request, instances);
    expect(text).toMatch(/^## 🟢 <code>orders<\/code>: <code>i-0000000000000000b<\/code> is the primary already/);
    expect(text).not.toContain("mermaid");
  });

  it("shows warnings before anything else of the plan", () => {
    const warning = "Transactions 101-105 may be missing; i-0000000000000000c has them, when it comes back.";
    const text = summaryOf({ ...planned, plan: { ...plan, warnings: [warning] } }, request, instances);
    expect(text).toMatch(/> \[!WARNING\]\n> - Transactions 101-105 may be missing/);
    expect(text.indexOf("WARNING")).toBeLessThan(text.indexOf("Before"));
  });

  it("bears a plan that says less, and one that tries to say more", () => {
    const evil = '</code>"]\n```\n| x | @someone <img src=x>';
    const odd = {
      ...plan,
      decided: { primary: 7, nodes: [{ instance_id: evil, role: evil }, 5], candidate: evil },
      observed: [{ what: evil, value: evil }],
      warnings: [evil],
      steps: [{ name: evil, description: evil }],
    };
    const text = summaryOf({ ...planned, plan: odd }, request, instances);
    expect(text).toMatch(/^## 🔵 <code>orders<\/code>: the switchover can be done/);
    expect(text).not.toMatch(/@someone|<img|\n\| x \|/);
    const asPicture = {
      ...odd,
      decided: {
        primary: A,
        candidate: B,
        nodes: [{ instance_id: A, role: evil }, { instance_id: B }, { instance_id: evil }],
      },
    };
    expect(summaryOf({ ...planned, plan: asPicture }, request, instances)).not.toMatch(/@someone|<img|\n\| x \|/);
  });

  it("is short in the log", () => {
    expect(logLines(planned, request, instances)).toEqual([
      `orders: ${A} -> ${B}`,
      "   1. drain: lets running transactions end",
      "   2. demote: makes the old primary read-only",
      "   3. record: records the new primary",
    ]);
  });
});

describe("the summary of an operation that has ended", () => {
  const ended = (record: typeof succeeded): Outcome => ({
    is: "ended",
    record,
    before: false,
    topology: topologyAfter,
  });

  it("tells before and after, what clients noticed, and each step's time", () => {
    expect(summaryOf(ended(succeeded), request, instances)).toMatchInlineSnapshot(`
      "## 🟢 <code>orders</code>: <code>i-0000000000000000b</code> is the primary now

      The end state was read back and is the one that was asked for. The recorded primary is <code>i-0000000000000000b</code>, fence 8.

      |  | Before | After |
      | --- | --- | --- |
      | Primary | <code>i-0000000000000000a</code> at 10.0.1.11, fence 7 | <code>i-0000000000000000b</code> at 10.0.2.12, fence 8 |

      | What clients noticed |  |
      | --- | --- |
      | Writes refused | 43 ms |
      | Writes of the probe client answered with an error | 2 |
      | Client sessions ended | 8 |

      |  | Step | What it does | Time | Detail |
      | --- | --- | --- | --- | --- |
      | ✔ | <code>drain</code> | lets running transactions end | 10 ms |  |
      | ✔ | <code>demote</code> | makes the old primary read-only | 11 ms |  |
      | ✔ | <code>record</code> | records the new primary | 12 ms |  |

      | Operation |  |
      | --- | --- |
      | Id | <code>op-1</code> |
      | Kind | switchover |
      | State | 🟢 succeeded: The end state was read back and is the one that was asked for. |
      | Asked for by | https&#58;//github.example/o/r/actions/runs/7 by octocat |
      | Runs on | <code>i-0000000000000000b</code> |
      | Created | 2026-11-21T12:00:00.000Z, attempt 1 |
      | Last heartbeat | 2026-11-21T12:00:01.000Z |
      | Ended | 2026-11-21T12:00:02.000Z |
      "
    `);
    expect(logLines(ended(succeeded), request, instances)).toEqual([`orders: ${A} -> ${B}, writes refused for 43 ms`]);
  });

  it("says first what became of one that was undone, and what to do", () => {
    const text = summaryOf({ is: "ended", record: undone, before: false, topology }, request, instances);
    expect(text).toMatch(
      /^## 🟡 <code>orders<\/code>: the switchover ended as undone\n\n\*\*lag-too-high\*\*: i-0000000000000000b was 90 s behind/,
    );
    expect(text).toContain(`The recorded primary is <code>${A}</code>, fence 7.`);
    expect(text).toContain("| ✔ | <code>drain</code>");
  });

  it("bears a record without a result of the expected form", () => {
    const text = summaryOf(ended({ ...succeeded, result: { odd: true } }), request, instances);
    expect(text).toMatch(/^## 🟢 <code>orders<\/code>: the switchover is done/);
  });

  it("knows the plan that a record holds", () => {
    expect(planOf(succeeded)).toEqual(plan);
    expect(planOf({ ...succeeded, plan: "orders/operations/plan-op-1.json" })).toBeUndefined();
  });
});

describe("what is asked for", () => {
  it("is what the document's parameters say, and applies with the same inputs", () => {
    const forced = requestOf({
      target: C,
      "expected-primary": A,
      "expected-plan-hash": hash,
      "max-lag": "5m",
      "max-transaction-age": "0s",
      timeout: "2m",
      force: "accept-loss",
      "confirm-cluster-id": "orders",
      "operation-id": "op-1",
    });
    expect(planParameters(forced)).toEqual({
      Mode: "plan",
      Target: C,
      ExpectedPrimary: A,
      MaxLagSeconds: "300",
      MaxTransactionAgeSeconds: "0",
      TimeoutSeconds: "120",
      Force: "accept-loss",
    });
    expect(forced.withLines).toEqual([
      "mode: apply",
      "cluster-id: orders",
      `target: ${C}`,
      `expected-primary: ${A}`,
      "max-lag: 5m",
      "max-transaction-age: 0s",
      "timeout: 2m",
      "force: accept-loss",
      "confirm-cluster-id: orders",
    ]);
  });

  it.each([
    [{ "cluster-id": "" }, '"cluster-id" is required'],
    [{ mode: "do" }, '"mode" is "do"'],
    [{ target: "orders-1" }, '"target" is "orders-1"'],
    [{ "expected-plan-hash": "abc" }, "64 hexadecimal digits"],
    [{ "max-lag": "2h" }, "from 0s to 1h"],
    [{ timeout: "1s" }, "from 5s to 1h"],
    [{ "operation-id": "a/b" }, '"operation-id" is "a/b"'],
    [{ force: "yes" }, "it is accept-loss, or not set"],
    [{ force: "accept-loss" }, '"confirm-cluster-id" is not set'],
    [{ force: "accept-loss", "confirm-cluster-id": "billing" }, '"confirm-cluster-id" is "billing"'],
    [{ "confirm-cluster-id": "billing" }, '"confirm-cluster-id" is "billing"'],
  ])("is refused: %j", (inputs, message) => {
    expect(() => requestOf(inputs as unknown as Record<string, string>)).toThrow(
      expect.objectContaining({ reason: "bad-input", message: expect.stringContaining(message) }),
    );
  });
});
