import * as v from "valibot";
import { type Attempt, AttemptAnswer, type Conclude, type NodeStatus } from "#contract/agent-api.ts";
import { describeFailure, messageOf } from "#contract/failure-reasons.ts";
import { decideFailover } from "../cluster/failover-decision.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { attemptToReplace, failoverView } from "./replace-primary.ts";
import { watchLease, watchRecord } from "./watch.ts";

type Asked = v.InferOutput<typeof Attempt>;
type Answer = v.InferOutput<typeof AttemptAnswer>;

/**
 * How long an attempt may wait until the primary has let go of its lease or the lease is stale, milliseconds. With the attempt
 * itself it stays within the hook's own 20 s.
 */
const patienceMs = 8000;
/** How often the lease is looked at meanwhile, milliseconds. */
const lookEveryMs = 250;
/** How long another node may take that is asked in this one's place, milliseconds; less than the hook's patience. */
const passOnTimeoutMs = 18_000;
/** What another agent saw of its mysqld longer ago than this does not show that it lives, milliseconds. */
const seenLatelyMs = 1000;
/** How many recoveries are remembered. */
const rememberedAttempts = 20;
/** How long nobody may have asked before a node goes on without Orchestrator, milliseconds. */
const silencePatienceMs = 15_000;

/** Orchestrator's own recovery is never allowed: what was needed has been done, or must not be done. */
const no = (because: string): Answer => ({ allowed: false, because });

/**
 * Orchestrator may lead on a node that cannot replace the primary: the primary's own, or one whose mysqld is down. Then one that
 * can is asked, ackers first.
 */
const passOn = async (context: AgentContext, asked: Asked, why: string): Promise<Answer> => {
  const { agents, highestFence, log, state } = context;
  const listed = (id: string): boolean => state.record?.ackers.some((acker) => acker.instance_id === id) ?? false;
  const others = (state.peers ?? [])
    .filter(({ privateIp }) => privateIp !== asked.failed_host)
    .sort((one, other) => Number(listed(other.instanceId)) - Number(listed(one.instanceId)));
  const failed: string[] = [];
  for (const { instanceId, privateIp } of others) {
    try {
      const { mysql } = await agents.status(privateIp);
      if (!mysql.up) {
        failed.push(`${instanceId}: its mysqld does not answer`);
        continue;
      }
      log.info(`${why}; ${instanceId} is asked to replace ${asked.failed_host}`);
      const answer = await agents.command(privateIp, "attempt", highestFence.current(), asked, {
        timeoutMs: passOnTimeoutMs,
      });
      return v.parse(AttemptAnswer, answer);
    } catch (error) {
      failed.push(`${instanceId}: ${messageOf(error)}`);
    }
  }
  return no(`${why}, and no other node could be asked: ${failed.join("; ") || "there is none"}`);
};

/** Watches whether a node's mysqld answers, without ever holding up who asks. */
const watchNode = (context: AgentContext, address: string): (() => boolean) => {
  let asking = false;
  let last: NodeStatus | undefined;
  return () => {
    if (!asking) {
      asking = true;
      void context.agents
        .status(address)
        .then(
          (status) => {
            last = status;
          },
          () => {
            last = undefined;
          },
        )
        .finally(() => {
          asking = false;
        });
    }
    return last?.mysql.up === true && last.mysql.seen_ms_ago < seenLatelyMs;
  };
};

/** The attempt for one recovery: waits until it may be made, makes it, and makes it again while there is time. */
const attempt = async (context: AgentContext, asked: Asked): Promise<Answer> => {
  const { config, identity, log, signal, state } = context;
  if (config.failover_engine !== "orchestrator") return no(`the engine is ${config.failover_engine}`);
  const began = monotonicMs();
  const primaryAnswers = watchNode(context, asked.failed_host);
  let last = "";
  while (!signal.aborted) {
    // Without the store nothing is promoted; what was seen before says why.
    await Promise.all([watchRecord(context), watchLease(context)]).catch((error: unknown) => {
      last = describeFailure(error);
    });
    const { record } = state;
    if (record?.private_ip !== asked.failed_host) {
      return no(`${record?.instance_id ?? "nobody"} is the recorded primary, not the node at ${asked.failed_host}`);
    }
    const view = failoverView(context);
    if (record.instance_id === identity.instanceId) return passOn(context, asked, "this node is the primary");
    if (!view.usable || view.leaving) return passOn(context, asked, "this node cannot be a successor's leader");
    const decision = state.peers === undefined ? undefined : decideFailover(view);
    if (decision?.attempt && monotonicMs() >= state.nextAttemptAt) {
      try {
        const outcome = await attemptToReplace(context, state.noticedAt ?? began);
        if (outcome.startsWith("promoted")) return no(`${outcome} itself`);
        last = outcome;
      } catch (error) {
        last = describeFailure(error);
        log.warn(`asked by Orchestrator: ${last}`);
      }
    } else if (decision && !decision.attempt) {
      last = decision.because;
      if (primaryAnswers()) return no(`the primary answers: ${last}`);
    }
    if (monotonicMs() - began > patienceMs) return no(`${last}; waited ${patienceMs / 1000} s`);
    await pause(lookEveryMs, signal);
  }
  return no("this agent is being stopped");
};

/**
 * Orchestrator is about to replace the primary: this node does all of it and answers that Orchestrator must not. Orchestrator's
 * own way of moving replicas throws away what one has received and not yet applied, acknowledged writes among it. The same
 * recovery twice is one attempt with one answer.
 */
export const attemptForHook = (context: AgentContext, asked: Asked): Promise<Answer> => {
  const { log, state } = context;
  const { attempts, toAcknowledge } = state.orchestrator;
  const known = attempts.get(asked.uid);
  if (known !== undefined) return known;
  log.warn(`Orchestrator asks to replace ${asked.failed_host}, recovery ${asked.uid}`);
  const answer = attempt(context, asked)
    .catch((error: unknown) => no(describeFailure(error)))
    .then((result) => {
      log.warn(`recovery ${asked.uid} is vetoed: ${result.because}`);
      // Until it is acknowledged it keeps Orchestrator from asking again.
      toAcknowledge.set(asked.uid, { because: result.because, since: monotonicMs() });
      return result;
    });
  attempts.set(asked.uid, answer);
  for (const uid of [...attempts.keys()].slice(0, -rememberedAttempts)) attempts.delete(uid);
  return answer;
};

/** Orchestrator says how its recovery ended. No recovery of its own was allowed, so the truth is looked at. */
export const concludeFromHook = async (context: AgentContext, told: v.InferOutput<typeof Conclude>): Promise<void> => {
  const { log, waker } = context;
  log.warn(
    `Orchestrator says that recovery ${told.uid} ${told.successful ? `promoted ${told.successor_host ?? "somebody"}` : "failed"}; looking at the record`,
  );
  await Promise.all([watchRecord(context), watchLease(context)]);
  waker.wake();
};

/**
 * For when nobody asks because Orchestrator is dead or has no majority: a primary that has been gone for long is replaced
 * without it.
 */
export const attemptWithoutHook = async (context: AgentContext): Promise<void> => {
  const { identity, log, state } = context;
  if (state.peers === undefined) return;
  const decision = decideFailover(failoverView(context));
  const now = monotonicMs();
  if (!decision.attempt) {
    // A successor that is being opened has yet to say how long it took.
    const opening = state.record?.instance_id === identity.instanceId && state.mysql.super_read_only !== false;
    if (!opening) state.noticedAt = undefined;
    return;
  }
  state.noticedAt ??= now;
  if (now - state.noticedAt < silencePatienceMs || now < state.nextAttemptAt) return;
  log.error(
    `Orchestrator has not replaced the primary for ${Math.round((now - state.noticedAt) / 1000)} s; doing it without it: ${decision.because}`,
  );
  await attemptToReplace(context, state.noticedAt);
};
