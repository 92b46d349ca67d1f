import * as v from "valibot";
import { NodeStatus } from "#contract/agent-api.ts";
import { documentName } from "#contract/documents.ts";
import type { RunCommand } from "../aws/ssm.ts";

/** What came back when a node's agent was asked by the `status` document. */
export type AgentReply =
  | { readonly answered: true; readonly leaving: NonNullable<NodeStatus["leaving"]> }
  | { readonly answered: false; readonly because: string };

/** Asks the agent of one instance. Errors: those of Run Command; what is wrong with the node is an answer. */
export type AskAgent = (instanceId: string) => Promise<AgentReply>;

/** How long an answer is waited for, milliseconds: SSM needs a second or two, the node's script half of one. */
export const replyWithinMs = 10_000;
const poll = { firstMs: 300, factor: 1.5, mostMs: 2000 };
const underWay = new Set(["", "Pending", "InProgress", "Delayed", "Cancelling"]);

const silent = (because: string): AgentReply => ({ answered: false, because });

/** What the script printed, when it ended well. */
const replyOf = (stdout: string, clusterId: string, instanceId: string): AgentReply => {
  let json: unknown;
  try {
    json = JSON.parse(stdout);
  } catch {
    return silent("its answer is not JSON");
  }
  const parsed = v.safeParse(NodeStatus, json);
  if (!parsed.success) return silent(`its answer is not a status: ${parsed.issues[0].message}`);
  const { cluster_id, instance_id, leaving, problems } = parsed.output;
  if (cluster_id !== clusterId || instance_id !== instanceId) {
    return silent(`it answered as ${instance_id} of cluster ${cluster_id}`);
  }
  // The node answers SSM, but its agent did not answer the script.
  if (leaving === undefined) return silent(problems[0] ?? "its agent does not answer");
  return { answered: true, leaving };
};

/** Asks agents over SSM, by the cluster's own document. */
export const makeAskAgent =
  (parts: {
    readonly commands: RunCommand;
    readonly clusterId: string;
    /** Milliseconds that only grow. */
    readonly now: () => number;
    readonly sleep: (ms: number) => Promise<void>;
  }): AskAgent =>
  async (instanceId) => {
    const { clusterId, commands, now, sleep } = parts;
    const began = now();
    const command = await commands.send(documentName(clusterId, "status"), instanceId);
    if (command === undefined) return silent("SSM does not manage it");
    let pauseMs = poll.firstMs;
    let status = "Pending";
    while (now() - began < replyWithinMs) {
      await sleep(pauseMs);
      pauseMs = Math.min(pauseMs * poll.factor, poll.mostMs);
      const seen = await commands.invocation(command, instanceId);
      status = seen?.status ?? status;
      if (seen?.status === "Success") return replyOf(seen.stdout, clusterId, instanceId);
      if (!underWay.has(status)) return silent(`SSM's command ended as ${status}`);
    }
    return silent(`SSM's command is ${status} after ${replyWithinMs / 1000} s`);
  };
