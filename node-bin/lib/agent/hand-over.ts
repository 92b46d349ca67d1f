import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { isLive, plannedContent, SwitchoverInput } from "#contract/operation.ts";
import type { AgentContext } from "./context.ts";

/** One hand-over for each time as primary. */
const handOverId = (instanceId: string, fence: number): string => `hand-over-${instanceId}-${fence}`;

/**
 * The primary, about to be terminated, has its best replica take over: an ordinary switchover, recorded by this node and run by the
 * candidate. Called again and again until it is not the primary any more. Errors: why nobody can take over now.
 */
export const handOver = async (context: AgentContext): Promise<void> => {
  const { agents, config, identity, journal, log, state } = context;
  const { record } = state;
  if (!record || record.instance_id !== identity.instanceId) return;
  const id = handOverId(identity.instanceId, record.fence);
  const known = await journal.read(id);
  if (known && isLive(known)) return;
  const plan = await context.planSwitchover(id);
  const [refusal] = plan.refusals;
  if (refusal) {
    throw new Failure(refusal.reason, {
      message: `It is about to be terminated and is the primary, and nobody can take over: ${refusal.message}`,
    });
  }
  const candidate = state.peers?.find((peer) => peer.instanceId === plan.node);
  if (!candidate) return;
  const content = plannedContent(plan);
  const written = known
    ? await journal.replace(known, {
        ...content,
        attempt: known.attempt + 1,
        result: undefined,
        failure_reason: undefined,
        failure_message: undefined,
        ended_at: undefined,
      })
    : await journal.create({
        ...content,
        operation_id: id,
        cluster_id: config.cluster_id,
        kind: "switchover",
        input: v.parse(SwitchoverInput, {}),
        started_by: `agent of ${identity.instanceId}, which is about to be terminated`,
        created_at: new Date().toISOString(),
        attempt: 1,
      });
  if (!written.written) return;
  log.warn(`about to be terminated: ${candidate.instanceId} takes over by operation ${id}`);
  await agents.command(candidate.privateIp, "operate", record.fence, { operation_id: id });
};
