import type { AutoScalingInstanceDetails, Instance } from "@aws-sdk/client-auto-scaling";
import type { Aws } from "./clients.ts";
import { awsErrorName, awsFailure } from "./failures.ts";

/** One instance of a group. */
export interface GroupInstance {
  readonly instanceId: string;
  readonly availabilityZone: string;
  /** Auto Scaling's own word, for example `Pending:Wait`, `InService`, `Terminating:Wait`. */
  readonly lifecycleState: string;
  readonly healthy: boolean;
  readonly protectedFromScaleIn: boolean;
}

/** An Auto Scaling group. */
export interface Group {
  readonly name: string;
  readonly minSize: number;
  readonly maxSize: number;
  readonly desiredCapacity: number;
  readonly instances: readonly GroupInstance[];
}

/** Whether there was a lifecycle action waiting. There is none for a node that was launched before the hook existed. */
export type LifecycleAnswer = "done" | "no-pending-action";

/** The Auto Scaling group of a cluster. Errors: `permission-denied`, `aws-unavailable`. */
export interface AutoScaling {
  /** Undefined when there is no such group. */
  describeGroup(name: string): Promise<Group | undefined>;
  /** The group that an instance belongs to, and its state there; undefined for one outside any group. */
  instanceLifecycle(instanceId: string): Promise<(GroupInstance & { readonly group: string }) | undefined>;
  setScaleInProtection(group: string, instanceId: string, on: boolean): Promise<void>;
  /** Lets the launch or termination go on, or abandons it. */
  completeLifecycleAction(
    hook: string,
    group: string,
    instanceId: string,
    result: "CONTINUE" | "ABANDON",
  ): Promise<LifecycleAnswer>;
  /** Gives the pending action its full time again. */
  recordHeartbeat(hook: string, group: string, instanceId: string): Promise<LifecycleAnswer>;
}

export const makeAutoScaling = (aws: Pick<Aws, "autoScaling">): AutoScaling => {
  const load = async () => ({ client: await aws.autoScaling(), sdk: await import("./sdk/auto-scaling.ts") });

  /** Runs one call and names it in its failure. */
  const call = async <T>(
    action: string,
    resource: string,
    run: (loaded: Awaited<ReturnType<typeof load>>) => Promise<T>,
  ) => {
    try {
      return await run(await load());
    } catch (error) {
      throw awsFailure(error, { action: `autoscaling:${action}`, resource });
    }
  };

  const pendingAction = (
    action: string,
    resource: string,
    run: (loaded: Awaited<ReturnType<typeof load>>) => Promise<unknown>,
  ): Promise<LifecycleAnswer> =>
    call(action, resource, async (loaded) => {
      try {
        await run(loaded);
        return "done";
      } catch (error) {
        if (isNoPendingAction(error)) return "no-pending-action";
        throw error;
      }
    });

  return {
    describeGroup: (name) =>
      call("DescribeAutoScalingGroups", `group ${name}`, async ({ client, sdk }) => {
        const answer = await client.send(new sdk.DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [name] }));
        const group = answer.AutoScalingGroups?.[0];
        return (
          group && {
            name,
            minSize: group.MinSize ?? 0,
            maxSize: group.MaxSize ?? 0,
            desiredCapacity: group.DesiredCapacity ?? 0,
            instances: (group.Instances ?? []).map(toGroupInstance),
          }
        );
      }),
    instanceLifecycle: (instanceId) =>
      call("DescribeAutoScalingInstances", `instance ${instanceId}`, async ({ client, sdk }) => {
        const answer = await client.send(new sdk.DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] }));
        const seen = answer.AutoScalingInstances?.[0];
        return seen && { ...toGroupInstance(seen), group: seen.AutoScalingGroupName ?? "" };
      }),
    setScaleInProtection: (group, instanceId, on) =>
      call("SetInstanceProtection", `instance ${instanceId} of group ${group}`, async ({ client, sdk }) => {
        await client.send(
          new sdk.SetInstanceProtectionCommand({
            AutoScalingGroupName: group,
            InstanceIds: [instanceId],
            ProtectedFromScaleIn: on,
          }),
        );
      }),
    completeLifecycleAction: (hook, group, instanceId, result) =>
      pendingAction(
        "CompleteLifecycleAction",
        `hook ${hook} of instance ${instanceId}, group ${group}`,
        ({ client, sdk }) =>
          client.send(
            new sdk.CompleteLifecycleActionCommand({
              LifecycleHookName: hook,
              AutoScalingGroupName: group,
              InstanceId: instanceId,
              LifecycleActionResult: result,
            }),
          ),
      ),
    recordHeartbeat: (hook, group, instanceId) =>
      pendingAction(
        "RecordLifecycleActionHeartbeat",
        `hook ${hook} of instance ${instanceId}, group ${group}`,
        ({ client, sdk }) =>
          client.send(
            new sdk.RecordLifecycleActionHeartbeatCommand({
              LifecycleHookName: hook,
              AutoScalingGroupName: group,
              InstanceId: instanceId,
            }),
          ),
      ),
  };
};

/** Auto Scaling has no error of its own for this: it answers a ValidationError with one of two sentences. */
const isNoPendingAction = (error: unknown): boolean =>
  awsErrorName(error).startsWith("ValidationError") && /No active Lifecycle Action found/i.test(String(error));

const toGroupInstance = (seen: Instance | AutoScalingInstanceDetails): GroupInstance => ({
  instanceId: seen.InstanceId ?? "",
  availabilityZone: seen.AvailabilityZone ?? "",
  lifecycleState: seen.LifecycleState ?? "",
  // The group's list says Healthy, the list by instance HEALTHY.
  healthy: seen.HealthStatus?.toLowerCase() === "healthy",
  protectedFromScaleIn: seen.ProtectedFromScaleIn ?? false,
});
