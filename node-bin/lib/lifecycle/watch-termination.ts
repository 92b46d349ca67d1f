import { describeFailure, Failure } from "#contract/failure-reasons.ts";
import { lifecycleHooks } from "#contract/names.ts";
import type { AutoScaling, Group } from "../aws/autoscaling.ts";
import type { TargetGroups } from "../aws/elbv2.ts";
import {
  decideTermination,
  givenUpAfterMs,
  holdOf,
  type TerminationDecision,
} from "../cluster/termination-decision.ts";
import type { Topology } from "../coordination/topology.ts";
import type { Log } from "../host/log.ts";
import { type AgentReply, type AskAgent, replyWithinMs } from "./ask-agent.ts";

/** What a termination is watched through. */
export interface TerminationParts {
  readonly autoScaling: Pick<AutoScaling, "describeGroup" | "completeLifecycleAction" | "recordHeartbeat">;
  readonly targetGroups: Pick<TargetGroups, "deregister" | "targetHealth">;
  readonly topology: Pick<Topology, "read">;
  readonly askAgent: AskAgent;
  readonly asgName: string;
  readonly targetGroupArns: readonly string[];
  readonly log: Log;
  /** Milliseconds that only grow. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** How long the function itself may go on, milliseconds. */
  readonly remainingMs: () => number;
}

/** How a termination ended. */
export interface TerminationOutcome {
  /** `taken-out`: by this function. `not-ours`: somebody else has completed the hook, or nothing waits for it. */
  readonly outcome: "taken-out" | "not-ours";
  readonly because: string;
}

/** Pauses between two looks at a silent node, and at one that does it itself, milliseconds. */
const lookEveryMs = { silent: 3000, answering: 10_000 };
/** The hook has 300 s; it gets them again this often at most, milliseconds. */
const heartbeatEveryMs = 60_000;
/** A look takes as long as its answers, and then something may have to be done, milliseconds. */
const reserveMs = 2 * replyWithinMs + lookEveryMs.answering + 5000;

/** What is remembered between two looks; times are of `now`. */
interface Memory {
  readonly began: number;
  /** When the agent was asked for the first time of those that it did not answer. */
  silentSince: number | undefined;
  heartbeatAt: number;
  said: string | undefined;
  failure: unknown;
}

/** Those in service whose agents answer. */
const answering = async ({ askAgent }: TerminationParts, group: Group, instanceId: string): Promise<string[]> => {
  const inService = group.instances.filter((each) => each.lifecycleState === "InService");
  const others = inService.map((each) => each.instanceId).filter((id) => id !== instanceId);
  const replies = await Promise.all(others.map(async (id) => ({ id, reply: await askAgent(id) })));
  return replies.flatMap(({ id, reply }) => (reply.answered ? [id] : []));
};

/** Every step may be done again, by this function or another: taking out what is out changes nothing. */
const takeOut = async (parts: TerminationParts, instanceId: string): Promise<string> => {
  const { asgName, autoScaling, log, targetGroupArns, targetGroups } = parts;
  for (const arn of targetGroupArns) {
    if (!(await targetGroups.targetHealth(arn, instanceId)).registered) continue;
    await targetGroups.deregister(arn, instanceId);
    log.info(`took ${instanceId} out of ${arn}`);
  }
  const answer = await autoScaling.completeLifecycleAction(lifecycleHooks.terminate, asgName, instanceId, "CONTINUE");
  return answer === "done" ? "its termination may go on" : "its hook had been completed already";
};

const silentMs = (memory: Memory, reply: AgentReply, askedAt: number, now: number): number => {
  memory.silentSince = reply.answered ? undefined : (memory.silentSince ?? askedAt);
  return memory.silentSince === undefined ? 0 : now - memory.silentSince;
};

const heartbeat = async (parts: TerminationParts, instanceId: string, memory: Memory): Promise<void> => {
  const { asgName, autoScaling, now } = parts;
  if (now() - memory.heartbeatAt < heartbeatEveryMs) return;
  await autoScaling.recordHeartbeat(lifecycleHooks.terminate, asgName, instanceId);
  memory.heartbeatAt = now();
};

/** Says what is waited for, once. */
const say = (parts: TerminationParts, instanceId: string, memory: Memory, decision: TerminationDecision): void => {
  const line = `${instanceId}: ${decision.because}`;
  if (memory.said === line) return;
  memory.said = line;
  if (decision.do === "wait" && decision.alarm) parts.log.error(line);
  else parts.log.info(line);
};

/** One look, and what follows from it; the outcome when there is nothing more to do. */
const lookOnce = async (
  parts: TerminationParts,
  instanceId: string,
  memory: Memory,
): Promise<TerminationOutcome | undefined> => {
  const { asgName, askAgent, autoScaling, log, now, topology } = parts;
  const group = await autoScaling.describeGroup(asgName);
  const lifecycleState = group?.instances.find((each) => each.instanceId === instanceId)?.lifecycleState;
  const hold = holdOf(lifecycleState, now() - memory.began);
  if (!group || hold === "over") {
    return { outcome: "not-ours", because: `it is ${lifecycleState ?? "not in the group any more"}` };
  }
  if (hold === "not-yet") return undefined;

  const askedAt = now();
  const reply = await askAgent(instanceId);
  const silent = silentMs(memory, reply, askedAt, now());
  if (!reply.answered) log.debug(`${instanceId}: ${reply.because}`);
  // After the node was asked: one that has become the primary meanwhile is not taken for a replica.
  const record = await topology.read();
  const isGivenUpPrimary = silent >= givenUpAfterMs && record?.instance_id === instanceId;
  const others = isGivenUpPrimary ? await answering(parts, group, instanceId) : [];
  const decision = decideTermination({
    instanceId,
    agent: reply.answered ? { answers: true, leaving: reply.leaving } : { answers: false, silentMs: silent },
    record,
    others,
  });
  say(parts, instanceId, memory, decision);
  if (decision.do === "take-out") {
    return { outcome: "taken-out", because: `${decision.because}; ${await takeOut(parts, instanceId)}` };
  }
  if (decision.heartbeat) await heartbeat(parts, instanceId, memory);
  return undefined;
};

/**
 * Watches an instance that its group is about to terminate until its hook is completed, by the node or, when that can no longer
 * do it, here. What cannot be looked at or done is tried again. Errors: what the last look failed with, and `timed-out`, when the
 * function's own time ends before: the hook's default result lets the termination go on then.
 */
export const watchTermination = async (parts: TerminationParts, instanceId: string): Promise<TerminationOutcome> => {
  const { log, now, remainingMs, sleep } = parts;
  const memory: Memory = {
    began: now(),
    silentSince: undefined,
    heartbeatAt: Number.NEGATIVE_INFINITY,
    said: undefined,
    failure: undefined,
  };
  log.info(`${instanceId} is about to be terminated`);
  do {
    try {
      const ended = await lookOnce(parts, instanceId, memory);
      memory.failure = undefined;
      if (ended) {
        log.info(`${instanceId}: ${ended.outcome === "taken-out" ? "taken out" : "nothing to do"}: ${ended.because}`);
        return ended;
      }
    } catch (error) {
      // Nobody knows whether it was silent meanwhile.
      memory.silentSince = undefined;
      memory.failure = error;
      log.warn(`${instanceId}: ${describeFailure(error)}`);
    }
    const isSilent = memory.silentSince !== undefined || memory.failure !== undefined;
    await sleep(isSilent ? lookEveryMs.silent : lookEveryMs.answering);
  } while (remainingMs() > reserveMs);
  if (memory.failure !== undefined) throw memory.failure;
  throw new Failure("timed-out", {
    message: `The termination of ${instanceId} was watched for ${Math.round((now() - memory.began) / 1000)} s, and its hook ${lifecycleHooks.terminate} still waits. Last seen: ${memory.said ?? "it was not held yet"}.`,
    changed: "Nothing was changed.",
    next: "The hook's own time lets the termination go on. Read the status of the cluster.",
  });
};
