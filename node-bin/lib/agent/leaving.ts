import { lifecycleHooks } from "#contract/names.ts";
import type { AgentContext } from "./context.ts";
import { handOver } from "./hand-over.ts";
import { leaveRaft } from "./orchestrator.ts";

/** What Auto Scaling tells an instance that it is about to terminate. */
const terminated = "Terminated";

/**
 * Notices that the group is about to terminate this instance. A primary has another take over first. A replica leaves the target groups,
 * which the reconciler does, and then lets the termination go on.
 */
export const watchLeaving = async (context: AgentContext): Promise<void> => {
  const { autoScaling, config, identity, log, metadata, state, targetGroups } = context;
  if (state.leaving === "let-go") return;
  if ((await metadata.targetLifecycleState()) !== terminated) return;
  if (state.leaving === undefined) log.info("the group is about to terminate this instance");
  state.leaving = "leaving";
  if (state.record?.instance_id === identity.instanceId) {
    return handOver(context);
  }
  const registered = await Promise.all(
    [config.write_target_group_arn, config.read_target_group_arn].map((arn) =>
      targetGroups.targetHealth(arn, identity.instanceId),
    ),
  );
  if (registered.some((target) => target.registered)) return;
  await leaveRaft(context);
  const answer = await autoScaling.completeLifecycleAction(
    lifecycleHooks.terminate,
    config.asg_name,
    identity.instanceId,
    "CONTINUE",
  );
  state.leaving = "let-go";
  log.info(answer === "done" ? "out of the target groups; the termination may go on" : "no termination hook waits");
};
