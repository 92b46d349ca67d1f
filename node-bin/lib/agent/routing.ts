import { tags } from "#contract/tags.ts";
import { type RoutingRepair, routingRepairs } from "../cluster/routing.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { type AgentSelf, readsVerdict, writesVerdict } from "./state.ts";

const repair = async (context: AgentContext, change: RoutingRepair): Promise<void> => {
  const { autoScaling, config, ec2, identity, targetGroups, log } = context;
  const { instanceId } = identity;
  switch (change.repair) {
    case "tag-role":
      await ec2.tagInstance(instanceId, { [tags.role]: change.value });
      return log.info(`tagged ${tags.role}=${change.value}`);
    case "register-write":
      await targetGroups.register(config.write_target_group_arn, instanceId);
      return log.info("registered for writes");
    case "deregister-write":
      await targetGroups.deregister(config.write_target_group_arn, instanceId);
      return log.info("deregistered from writes");
    case "register-read":
      await targetGroups.register(config.read_target_group_arn, instanceId);
      return log.info("registered for reads");
    case "deregister-read":
      await targetGroups.deregister(config.read_target_group_arn, instanceId);
      return log.info("deregistered from reads");
    case "protect":
      await autoScaling.setScaleInProtection(config.asg_name, instanceId, true);
      return log.info("protected from scale-in");
    case "unprotect":
      await autoScaling.setScaleInProtection(config.asg_name, instanceId, false);
      return log.info("no longer protected from scale-in");
  }
};

/** One round of the reconciler: what the outside says of this node is repaired towards the record. Answers whether it agreed already. */
export const reconcileRouting = async (context: AgentContext, self: AgentSelf): Promise<boolean> => {
  const { autoScaling, config, ec2, identity, targetGroups, state } = context;
  const { instanceId } = identity;
  const [instance, write, read, member] = await Promise.all([
    ec2.describeInstances({ ids: [instanceId] }).then((all) => all[0]),
    targetGroups.targetHealth(config.write_target_group_arn, instanceId),
    targetGroups.targetHealth(config.read_target_group_arn, instanceId),
    autoScaling.instanceLifecycle(instanceId),
  ]);
  // A group can protect only those of its instances that are in service.
  const protectable = member?.lifecycleState === "InService";
  const now = monotonicMs();
  const repairs = routingRepairs({
    servesWrites: writesVerdict(state, self, now),
    servesReads: readsVerdict(state, self, now),
    isPrimary: state.record?.instance_id === instanceId,
    serving: state.record?.phase === "serving",
    joined: state.bootstrap?.state === "joined",
    leaving: state.leaving !== undefined,
    mode: config.write_routing,
    seen: {
      roleTag: instance?.tags[tags.role],
      inWriteGroup: write.registered,
      inReadGroup: read.registered,
      protectedFromScaleIn: protectable ? member.protectedFromScaleIn : undefined,
    },
  });
  for (const change of repairs) await repair(context, change);
  return repairs.length === 0 && protectable;
};

/** What routing depends on, as one text: when it changes, the reconciler need not wait for its next round. */
export const routingKey = (context: AgentContext, self: AgentSelf): string => {
  const { state } = context;
  const now = monotonicMs();
  return [
    state.record?.instance_id,
    state.record?.phase,
    state.bootstrap?.state,
    state.leaving,
    writesVerdict(state, self, now).ok,
    readsVerdict(state, self, now).ok,
  ].join(" ");
};
