import { describe, expect, it } from "vitest";
import type { NodeStatus } from "#contract/agent-api.ts";
import type { Invocation, RunCommand } from "#node/lib/aws/ssm.ts";
import { makeAskAgent, replyWithinMs } from "#node/lib/lifecycle/ask-agent.ts";

const id = "i-0123456789abcdef0";
const status: NodeStatus = {
  schema: 1,
  cluster_id: "c1",
  instance_id: id,
  private_ip: "10.0.0.4",
  availability_zone: "a",
  agent_version: "1",
  role: "replica",
  mysql: { up: true, seen_ms_ago: 1 },
  highest_fence: 3,
  serves_writes: { ok: false, because: "a replica" },
  serves_reads: { ok: true, because: "it is well" },
  leaving: "leaving",
  problems: [],
};
const { leaving: _, ...withoutAgent } = { ...status, problems: ["the agent does not answer"] };
const success = (answer: unknown): Invocation => ({ status: "Success", stdout: JSON.stringify(answer) });

/** Asks a node whose command stands like this at each look; the last one stays. */
const asked = async (seen: readonly (Invocation | undefined)[], send: RunCommand["send"] = async () => "command") => {
  let now = 0;
  let look = 0;
  const documents: string[] = [];
  const ask = makeAskAgent({
    commands: {
      send: (document, instanceId) => {
        documents.push(document);
        return send(document, instanceId);
      },
      invocation: async () => seen[Math.min(look++, seen.length - 1)],
    },
    clusterId: "c1",
    now: () => now,
    sleep: async (ms) => {
      now += ms;
    },
  });
  return { reply: await ask(id), now, documents };
};

describe("what an agent says when it is asked over SSM", () => {
  it("is asked for by the cluster's own document, and waited for", async () => {
    const { reply, documents } = await asked([
      undefined,
      { status: "Pending", stdout: "" },
      { status: "InProgress", stdout: "" },
      success(status),
    ]);
    expect(reply).toEqual({ answered: true, leaving: "leaving" });
    expect(documents).toEqual(["percona-c1-status"]);
  });

  it.each<[string, Invocation, string]>([
    ["the node's script answers for a dead agent", success(withoutAgent), "the agent does not answer"],
    ["another node answers", success({ ...status, instance_id: "i-00000000000000001" }), "answered as i-0000"],
    ["the answer is not JSON", { status: "Success", stdout: "hello" }, "not JSON"],
    ["the answer is something else", success({ schema: 2 }), "not a status"],
    ["the script fails", { status: "Failed", stdout: "" }, "Failed"],
    ["SSM cannot deliver it", { status: "DeliveryTimedOut", stdout: "" }, "DeliveryTimedOut"],
  ])("is no answer when %s", async (_, invocation, because) => {
    expect((await asked([invocation])).reply).toEqual({ answered: false, because: expect.stringContaining(because) });
  });

  it("is no answer when it does not come in time", async () => {
    const { reply, now } = await asked([{ status: "Pending", stdout: "" }]);
    expect(reply).toEqual({ answered: false, because: expect.stringContaining("Pending") });
    expect(now).toBeGreaterThanOrEqual(replyWithinMs);
    expect(now).toBeLessThan(replyWithinMs + 2500);
  });

  it("is no answer when SSM does not manage the instance", async () => {
    expect((await asked([], async () => undefined)).reply).toMatchObject({ answered: false });
  });
});
