import { messageOf } from "#contract/failure-reasons.ts";
import { tags } from "#contract/tags.ts";
import { type RoutingRepair, routingRepairs } from "../cluster/routing.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import { type AgentSelf, type AgentState, readsVerdict, writesVerdict } from "./state.ts";

/** What of an agent the reconciler acts through. */
export interface RoutingContext {
  readonly config: Pick<
    AgentContext["config"],
    "write_routing" | "write_target_group_arn" | "read_target_group_arn" | "asg_name"
  >;
  readonly identity: Pick<AgentContext["identity"], "instanceId">;
  readonly log: Pick<AgentContext["log"], "info" | "warn">;
  readonly state: AgentState;
  readonly topology: Pick<AgentContext["topology"], "read">;
  readonly autoScaling: Pick<AgentContext["autoScaling"], "instanceLifecycle" | "setScaleInProtection">;
  readonly ec2: Pick<AgentContext["ec2"], "describeInstances" | "tagInstance">;
  readonly mysqlForWrites: Pick<AgentContext["mysqlForWrites"], "endClientSessions">;
  readonly targetGroups: AgentContext["targetGroups"];
  readonly signal: AbortSignal;
}

/**
 * Clients that the load balancer sent to this node after it was demoted are where they cannot write. Readers are not among them:
 * a node is put into the read group after it was taken out of the write group.
 */
const endLateSessions = async ({ config, log, mysqlForWrites, state }: RoutingContext): Promise<void> => {
  if (config.write_routing !== "registration" || !state.mysql.up) return;
  const ended = await mysqlForWrites.endClientSessions().catch((error: unknown) => {
    log.warn(`sessions: ${messageOf(error)}`);
    return 0;
  });
  if (ended > 0) log.info(`ended ${ended} sessions that came to a node where nobody can write`);
};

/** Whether the record, read now, still names this node under the fence that it knows. */
const isStillRecorded = async ({ identity, state, topology }: RoutingContext): Promise<boolean> => {
  const record = await topology.read();
  return record?.instance_id === identity.instanceId && record.fence === state.record?.fence;
};

const repair = async (context: RoutingContext, change: RoutingRepair): Promise<void> => {
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
      log.info("deregistered from writes");
      return endLateSessions(context);
    case "deregister-other-write":
      // Whoever has replaced this node meanwhile must not be taken out by it.
      if (!(await isStillRecorded(context))) return;
      await targetGroups.deregister(config.write_target_group_arn, change.instanceId);
      return log.info(`deregistered ${change.instanceId} from writes: it is not the primary`);
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

/**
 * With forwarding nothing that clients need is decided here, and they need the machine: for so long after a change of primary the
 * outside is left alone, milliseconds.
 */
const quietMs = 1000;

/** One round of the reconciler: what the outside says of this node is repaired towards the record. Answers whether it agreed already. */
export const reconcileRouting = async (context: RoutingContext, self: AgentSelf): Promise<boolean> => {
  const { autoScaling, config, ec2, identity, targetGroups, state } = context;
  const { instanceId } = identity;
  // An agent that was started anew knows nothing at first, and for long when the store is away: what is registered stays.
  if (state.recordAt === Number.NEGATIVE_INFINITY || state.bootstrap === undefined) return false;
  const quiet = state.newPrimaryAt + quietMs - monotonicMs();
  if (config.write_routing === "forward" && quiet > 0) await pause(quiet, context.signal);
  const [instance, write, read, member] = await Promise.all([
    ec2.describeInstances({ ids: [instanceId] }).then((all) => all[0]),
    targetGroups.targets(config.write_target_group_arn),
    targetGroups.targetHealth(config.read_target_group_arn, instanceId),
    autoScaling.instanceLifecycle(instanceId),
  ]);
  const writers = write.filter((target) => target.registered).map((target) => target.instanceId);
  // The replaced primary may be gone already. Who never was a node of this cluster is a person's matter.
  const nodes = [...(state.peers ?? []).map((peer) => peer.instanceId), state.record?.failover_from];
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
    leaseHeld: state.lease?.held() ?? false,
    seen: {
      roleTag: instance?.tags[tags.role],
      inWriteGroup: writers.includes(instanceId),
      othersInWriteGroup: writers.filter((id) => id !== instanceId && nodes.includes(id)),
      inReadGroup: read.registered,
      protectedFromScaleIn: protectable ? member.protectedFromScaleIn : undefined,
    },
  });
  for (const change of repairs) await repair(context, change);
  return repairs.length === 0 && protectable;
};

/** What routing depends on, as one text: when it changes, the reconciler need not wait for its next round. */
export const routingKey = (context: Pick<RoutingContext, "config" | "state">, self: AgentSelf): string => {
  const { config, state } = context;
  const now = monotonicMs();
  const verdicts =
    config.write_routing === "forward" ? [] : [writesVerdict(state, self, now).ok, readsVerdict(state, self, now).ok];
  return [state.record?.instance_id, state.record?.phase, state.bootstrap?.state, state.leaving, ...verdicts].join(" ");
};
