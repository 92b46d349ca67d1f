import { randomUUID } from "node:crypto";
import {
  DetachInstancesCommand,
  type Instance as GroupInstance,
  SetInstanceProtectionCommand,
} from "@aws-sdk/client-auto-scaling";
import { CreateTagsCommand, TerminateInstancesCommand } from "@aws-sdk/client-ec2";
import { DeregisterTargetsCommand, RegisterTargetsCommand } from "@aws-sdk/client-elastic-load-balancing-v2";
import { AwsError } from "./aws-error.ts";
import type { EmulatorClients } from "./emulator-clients.ts";
import type { Inventory, InventoryGroup } from "./inventory.ts";
import {
  type ActionResult,
  beginWaiting,
  type LifecycleHook,
  launching,
  readHook,
  recordHeartbeat,
  scaleInVictims,
  type Transition,
  terminating,
  type WaitingAction,
} from "./lifecycle.ts";

/** What moto does not keep about a member of a group. */
export interface Member {
  readonly instanceId: string;
  readonly group: string;
  readonly groupArn: string;
  state: "Pending:Wait" | "InService" | "Terminating:Wait";
  /** Hooks that hold it. */
  actions: WaitingAction[];
  /** Milliseconds of the monotonic clock. */
  inServiceSince: number;
  /** Oldest first is the order of groups; this is what the group said about it last. */
  seen: GroupInstance;
  /** moto's group does not list it any more: it is held for its termination hooks only. */
  detached: boolean;
}

export interface GroupMembers {
  /** Reads moto and does what Auto Scaling would: holds new instances, notices lost ones, replaces unhealthy ones. */
  reconcile(): Promise<void>;
  members(): readonly Member[];
  member(instanceId: string): Member | undefined;
  hooks(group: string): readonly LifecycleHook[];
  putHook(group: string, fields: Readonly<Record<string, string | undefined>>): void;
  /** Actions that wait for the hook end as if the hook's gentler result had been given. */
  deleteHook(group: string, name: string): Promise<void>;
  forgetHooks(group: string): void;
  complete(which: ActionId, result: ActionResult): Promise<void>;
  heartbeat(which: ActionId): void;
  /** Takes a member out of its group; it ends after its termination hooks. */
  retire(member: Member, options: { readonly decrement: boolean }): Promise<void>;
  /** Retires as many unprotected members. */
  shrink(group: InventoryGroup, count: number): Promise<void>;
  liftProtection(group: InventoryGroup): Promise<void>;
  /** Whether the grace period after its launch still hides the member's health. */
  isInGrace(member: Member): boolean;
  close(): void;
}

/** Names a held instance. */
export interface ActionId {
  readonly group: string;
  readonly hook: string;
  readonly instanceId: string | undefined;
  readonly token: string | undefined;
}

export interface GroupMembersOptions {
  readonly clients: EmulatorClients;
  readonly inventory: Inventory;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Divides the times of hooks. */
  readonly hookFactor: number;
  /** Divides health check grace periods. */
  readonly healthFactor: number;
  /** Runs work that changes moto, one after the other, and reconciles after it. */
  readonly exclusive: (work: () => Promise<void>) => Promise<void>;
  readonly report: (line: string) => void;
}

const groupTag = "aws:autoscaling:groupName";
/** Longest wait of a JavaScript timer, milliseconds. */
const maxTimerMs = 2 ** 31 - 1;

export const createGroupMembers = (options: GroupMembersOptions): GroupMembers => {
  const { clients, inventory, now, hookFactor, report } = options;
  const members = new Map<string, Member>();
  const hooksByGroup = new Map<string, Map<string, LifecycleHook>>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const hooks = (group: string, transition?: Transition): LifecycleHook[] =>
    [...(hooksByGroup.get(group)?.values() ?? [])].filter((hook) => !transition || hook.transition === transition);

  const announce = (member: Member, action: WaitingAction): void => {
    const isLaunch = action.hook.transition === launching;
    clients
      .putServiceEvents([
        {
          source: "aws.autoscaling",
          detailType: `EC2 Instance-${isLaunch ? "launch" : "terminate"} Lifecycle Action`,
          resources: [member.groupArn],
          detail: {
            LifecycleActionToken: action.token,
            AutoScalingGroupName: member.group,
            LifecycleHookName: action.hook.name,
            EC2InstanceId: member.instanceId,
            LifecycleTransition: action.hook.transition,
            ...(action.hook.notificationMetadata === undefined
              ? {}
              : { NotificationMetadata: action.hook.notificationMetadata }),
            Origin: isLaunch ? "EC2" : "AutoScalingGroup",
            Destination: isLaunch ? "AutoScalingGroup" : "EC2",
          },
        },
      ])
      .catch((error: unknown) => {
        if (!closed) report(`cloud: the event of ${action.hook.name} for ${member.instanceId} was lost: ${error}`);
      });
  };

  const hold = (member: Member, state: "Pending:Wait" | "Terminating:Wait", by: readonly LifecycleHook[]): void => {
    member.state = state;
    member.actions = by.map((hook) => beginWaiting(hook, randomUUID(), now(), hookFactor));
    report(`cloud: ${member.instanceId} of ${member.group} is ${state} for ${by.map(({ name }) => name).join(", ")}`);
    for (const action of member.actions) announce(member, action);
    schedule();
  };

  const schedule = (): void => {
    clearTimeout(timer);
    if (closed) return;
    const deadlines = [...members.values()].flatMap(({ actions }) => actions.map(({ deadline }) => deadline));
    if (deadlines.length === 0) return;
    const wait = Math.min(Math.max(Math.min(...deadlines) - now(), 0), maxTimerMs);
    timer = setTimeout(() => {
      options.exclusive(expire).catch((error: unknown) => {
        if (!closed) report(`cloud: a lifecycle timeout failed: ${error}`);
      });
    }, wait);
    timer.unref();
  };

  const expire = async (): Promise<void> => {
    for (const member of [...members.values()]) {
      for (const action of member.actions.filter(({ deadline }) => deadline <= now())) {
        report(`cloud: ${action.hook.name} of ${member.instanceId} timed out: ${action.hook.defaultResult}`);
        await endAction(member, action, action.hook.defaultResult);
      }
    }
    schedule();
  };

  const endAction = async (member: Member, action: WaitingAction, result: ActionResult): Promise<void> => {
    if (!member.actions.includes(action)) return;
    member.actions = result === "ABANDON" ? [] : member.actions.filter((other) => other !== action);
    schedule();
    if (member.actions.length > 0) return;
    if (member.state === "Terminating:Wait") return terminate(member);
    if (result === "ABANDON") {
      report(`cloud: the launch of ${member.instanceId} was abandoned`);
      await detach(member, false);
      return terminate(member);
    }
    member.state = "InService";
    member.inServiceSince = now();
    for (const TargetGroupArn of inventory.group(member.group)?.targetGroupArns ?? []) {
      await clients.loadBalancing.send(
        new RegisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: member.instanceId }] }),
      );
    }
  };

  const terminate = async (member: Member): Promise<void> => {
    if (inventory.instance(member.instanceId)?.state !== "terminated") {
      await clients.ec2.send(new TerminateInstancesCommand({ InstanceIds: [member.instanceId] }));
      await inventory.readInstances();
    }
    members.delete(member.instanceId);
  };

  /** moto replaces a detached instance at once, as Auto Scaling does, unless the group shrinks. */
  const detach = async (member: Member, decrement: boolean): Promise<void> => {
    await clients.autoScaling.send(
      new DetachInstancesCommand({
        AutoScalingGroupName: member.group,
        InstanceIds: [member.instanceId],
        ShouldDecrementDesiredCapacity: decrement,
      }),
    );
    member.detached = true;
    await clients.ec2.send(
      new CreateTagsCommand({ Resources: [member.instanceId], Tags: [{ Key: groupTag, Value: member.group }] }),
    );
    await deregister(member);
  };

  const deregister = async (member: Member): Promise<void> => {
    for (const TargetGroupArn of inventory.group(member.group)?.targetGroupArns ?? []) {
      try {
        await clients.loadBalancing.send(
          new DeregisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: member.instanceId }] }),
        );
      } catch (error) {
        const isAbsent =
          error instanceof Error && ["InvalidTargetException", "TargetGroupNotFoundException"].includes(error.name);
        if (!isAbsent) throw error;
      }
    }
  };

  const retire: GroupMembers["retire"] = async (member, { decrement }) => {
    if (member.state === "Terminating:Wait") return;
    const wasWaiting = member.state === "Pending:Wait";
    await detach(member, decrement);
    const by = wasWaiting ? [] : hooks(member.group, terminating);
    if (by.length === 0) await terminate(member);
    else hold(member, "Terminating:Wait", by);
  };

  const noticeLost = (): void => {
    for (const member of [...members.values()]) {
      const group = inventory.group(member.group);
      if (group === undefined) {
        members.delete(member.instanceId);
        continue;
      }
      if (member.detached || group.instances.some(({ InstanceId }) => InstanceId === member.instanceId)) continue;
      const wasTerminated = inventory.instance(member.instanceId)?.state === "terminated";
      const by = hooks(member.group, terminating);
      if (!wasTerminated || member.state !== "InService" || by.length === 0) {
        members.delete(member.instanceId);
        continue;
      }
      member.detached = true;
      member.seen = { ...member.seen, HealthStatus: "Unhealthy" };
      hold(member, "Terminating:Wait", by);
    }
    for (const name of hooksByGroup.keys()) if (inventory.group(name) === undefined) hooksByGroup.delete(name);
  };

  const noticeNew = async (): Promise<void> => {
    for (const group of inventory.groups()) {
      for (const seen of group.instances) {
        const known = members.get(seen.InstanceId ?? "");
        if (known !== undefined) {
          known.seen = seen;
          // moto registers every member with the group's target groups whenever the capacity changes.
          if (known.state === "Pending:Wait") await deregister(known);
          continue;
        }
        const member: Member = {
          instanceId: seen.InstanceId ?? "",
          group: group.name,
          groupArn: group.arn,
          state: "InService",
          actions: [],
          inServiceSince: now(),
          seen,
          detached: false,
        };
        members.set(member.instanceId, member);
        const by = hooks(group.name, launching);
        if (by.length === 0) continue;
        hold(member, "Pending:Wait", by);
        await deregister(member);
      }
    }
  };

  const findUnhealthy = (): Member | undefined =>
    [...members.values()].find((member) => {
      if (member.state !== "InService") return false;
      if (inventory.group(member.group)?.suspended.has("ReplaceUnhealthy")) return false;
      const ec2State = inventory.instance(member.instanceId)?.state;
      return member.seen.HealthStatus === "Unhealthy" || ec2State === "stopped" || ec2State === "stopping";
    });

  const find = ({ group, hook, instanceId, token }: ActionId): { member: Member; action: WaitingAction } => {
    if (inventory.group(group) === undefined) {
      throw new AwsError("ValidationError", `AutoScalingGroup name not found - AutoScalingGroup ${group} not found`);
    }
    for (const member of members.values()) {
      if (member.group !== group || (instanceId !== undefined && member.instanceId !== instanceId)) continue;
      for (const action of member.actions) {
        if (action.hook.name === hook && (token === undefined || action.token === token)) return { member, action };
      }
    }
    const what = instanceId === undefined ? `token ${token}` : `instance ID ${instanceId}`;
    throw new AwsError("ValidationError", `No active Lifecycle Action found with ${what}`);
  };

  return {
    reconcile: async () => {
      for (;;) {
        await inventory.readInstances();
        await inventory.readGroups();
        noticeLost();
        await noticeNew();
        const unhealthy = findUnhealthy();
        if (unhealthy === undefined) break;
        report(`cloud: ${unhealthy.instanceId} of ${unhealthy.group} is unhealthy and is replaced`);
        await retire(unhealthy, { decrement: false });
      }
      schedule();
    },
    members: () => [...members.values()],
    member: (instanceId) => members.get(instanceId),
    hooks,
    putHook: (group, fields) => {
      const ofGroup = hooksByGroup.get(group) ?? new Map<string, LifecycleHook>();
      const hook = readHook(fields, ofGroup.get(fields.LifecycleHookName ?? ""));
      ofGroup.set(hook.name, hook);
      hooksByGroup.set(group, ofGroup);
    },
    deleteHook: async (group, name) => {
      const hook = hooksByGroup.get(group)?.get(name);
      if (hook === undefined) throw new AwsError("ValidationError", `No Lifecycle Hook found with name: ${name}`);
      hooksByGroup.get(group)?.delete(name);
      for (const member of [...members.values()].filter((candidate) => candidate.group === group)) {
        const action = member.actions.find((candidate) => candidate.hook.name === name);
        if (action) await endAction(member, action, hook.transition === launching ? "ABANDON" : "CONTINUE");
      }
    },
    forgetHooks: (group) => {
      hooksByGroup.delete(group);
    },
    complete: async (which, result) => {
      const { member, action } = find(which);
      await endAction(member, action, result);
    },
    heartbeat: (which) => {
      const { member, action } = find(which);
      const renewed = recordHeartbeat(action, now(), hookFactor);
      member.actions = member.actions.map((other) => (other === action ? renewed : other));
      schedule();
    },
    retire,
    shrink: async (group, count) => {
      const candidates = group.instances.map((instance) => ({
        instanceId: instance.InstanceId ?? "",
        availabilityZone: instance.AvailabilityZone ?? "",
        isProtected: instance.ProtectedFromScaleIn ?? false,
      }));
      for (const { instanceId } of scaleInVictims(candidates, count)) {
        const member = members.get(instanceId);
        if (member) await retire(member, { decrement: true });
      }
    },
    liftProtection: async (group) => {
      const InstanceIds = group.instances.map(({ InstanceId = "" }) => InstanceId);
      if (InstanceIds.length === 0) return;
      await clients.autoScaling.send(
        new SetInstanceProtectionCommand({
          AutoScalingGroupName: group.name,
          InstanceIds,
          ProtectedFromScaleIn: false,
        }),
      );
    },
    isInGrace: (member) => {
      const graceMs = ((inventory.group(member.group)?.gracePeriodSeconds ?? 0) * 1000) / options.healthFactor;
      return member.state !== "InService" || now() - member.inServiceSince < graceMs;
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
};
