import { Failure, failureReasons } from "#contract/failure-reasons.ts";
import { decideFailover } from "../cluster/failover-decision.ts";
import { freezeAndChoose, type PromotionParts, promote } from "../failover/attempt.ts";
import { clusterNode } from "../failover/cluster-node.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { failoverId } from "./report.ts";
import { hearsPrimary, noteRecord } from "./state.ts";
import { watchLease, watchRecord } from "./watch.ts";

/** How long after an attempt that came to nothing the next may begin, milliseconds. */
const retryAfterMs = 1000;
/** A node that is not listed lets those that are begin, milliseconds. */
const unlistedWaitsMs = 1000;

/** What this node knows when it asks itself whether the primary has to be replaced. */
export const failoverView = (context: AgentContext) => {
  const { identity, state } = context;
  return {
    me: identity.instanceId,
    record: state.record,
    lease: state.primaryLease,
    usable: state.mysql.up && state.bootstrap?.state === "joined",
    leaving: state.leaving !== undefined,
    streamAlive: hearsPrimary(state),
  };
};

/** All nodes but the recorded primary; this one too is asked through its own agent. */
export const promotionParts = (context: AgentContext, primary: string): PromotionParts => {
  const { agents, identity, log, state, topology } = context;
  return {
    topology,
    nodes: [identity, ...(state.peers ?? [])]
      .filter(({ instanceId }) => instanceId !== primary)
      .map(({ instanceId, privateIp }) => clusterNode(agents, { instanceId, privateIp })),
    me: identity.instanceId,
    log,
    now: monotonicMs,
    stopAt: context.stopAt,
  };
};

/**
 * One attempt to replace the primary. One that comes to nothing lets the lock go; the recorded primary, when it is still there,
 * then takes a new fence and the frozen go on. Answers what came of it in words. Errors: `no-safe-candidate` and those of a promotion.
 */
export const attemptToReplace = async (context: AgentContext, noticedAt: number): Promise<string> => {
  const { election, highestFence, log, state } = context;
  const grant = await election.tryAcquire({ fenceAbove: Math.max(state.record?.fence ?? 0, highestFence.current()) });
  if (!grant) return "another holds the election lock";
  grant.startRenewing();
  let ended = "failed";
  try {
    await Promise.all([watchRecord(context), watchLease(context)]);
    const decision = decideFailover(failoverView(context));
    const { record } = state;
    if (!decision.attempt || !record) {
      ended = `not needed: ${decision.because}`;
      return ended;
    }
    log.warn(`replacing ${record.instance_id} under fence ${grant.fence}: ${decision.because}`);
    const parts = promotionParts(context, record.instance_id);
    await parts.stopAt({ when: "after", step: "lock" });
    const candidate = await freezeAndChoose(parts, record, grant.fence);
    await parts.stopAt({ when: "after", step: "freeze" });
    const note = { reason: `failover: ${decision.because}`, operation_id: failoverId(grant.fence) };
    const written = await promote(parts, record, candidate, grant, note, noticedAt);
    noteRecord(state, written);
    ended = `promoted ${written.instance_id}`;
    log.warn(`${written.instance_id} replaced ${record.instance_id} in ${Math.round(monotonicMs() - noticedAt)} ms`);
    return ended;
  } catch (error) {
    ended = error instanceof Failure ? `${error.reason}: ${failureReasons[error.reason].meaning}` : "failed";
    throw error;
  } finally {
    state.nextAttemptAt = monotonicMs() + retryAfterMs;
    await grant.release(ended);
  }
};

/** The agent engine: one look whether the primary has to be replaced, and an attempt when it has. */
export const replacePrimary = async (context: AgentContext): Promise<void> => {
  const { identity, state } = context;
  if (context.config.failover_engine !== "agent" || state.peers === undefined) return;
  const decision = decideFailover(failoverView(context));
  if (!decision.attempt) {
    state.noticedAt = undefined;
    return;
  }
  const now = monotonicMs();
  state.noticedAt ??= now;
  const listed = state.record?.ackers.some((acker) => acker.instance_id === identity.instanceId) ?? false;
  if (!listed && now - state.noticedAt < unlistedWaitsMs) return;
  if (now < state.nextAttemptAt) return;
  await attemptToReplace(context, state.noticedAt);
};
