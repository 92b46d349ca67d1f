import {
  type AutoScalingGroup,
  type Instance as GroupInstance,
  paginateDescribeAutoScalingGroups,
} from "@aws-sdk/client-auto-scaling";
import { type Instance, paginateDescribeInstances } from "@aws-sdk/client-ec2";
import type { EmulatorClients } from "./emulator-clients.ts";

/** An instance as moto has it. */
export interface InventoryInstance {
  readonly instanceId: string;
  readonly privateIp: string;
  readonly availabilityZone: string;
  readonly state: string;
  readonly instanceType: string;
  readonly imageId: string;
  readonly launchTime: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly instanceProfileArn: string | undefined;
  /** Whether the metadata service shows the tags. */
  readonly metadataTags: boolean;
  /** When it was seen to be gone, milliseconds of the monotonic clock. */
  readonly goneAt?: number;
}

/** An Auto Scaling group as moto has it. */
export interface InventoryGroup {
  readonly name: string;
  readonly arn: string;
  readonly minSize: number;
  readonly maxSize: number;
  readonly desired: number;
  readonly targetGroupArns: readonly string[];
  readonly gracePeriodSeconds: number;
  readonly suspended: ReadonlySet<string>;
  /** Oldest first. */
  readonly instances: readonly GroupInstance[];
}

/** EC2 lists a terminated instance for about an hour; the lab for this long. */
const rememberMs = 10 * 60_000;

const toInstance = (instance: Instance): InventoryInstance => ({
  instanceId: instance.InstanceId ?? "",
  privateIp: instance.PrivateIpAddress ?? "",
  availabilityZone: instance.Placement?.AvailabilityZone ?? "",
  state: instance.State?.Name ?? "unknown",
  instanceType: instance.InstanceType ?? "",
  imageId: instance.ImageId ?? "",
  launchTime: (instance.LaunchTime ?? new Date(0)).toISOString(),
  tags: Object.fromEntries((instance.Tags ?? []).map(({ Key = "", Value = "" }) => [Key, Value])),
  instanceProfileArn: instance.IamInstanceProfile?.Arn,
  metadataTags: instance.MetadataOptions?.InstanceMetadataTags === "enabled",
});

const toGroup = (group: AutoScalingGroup): InventoryGroup => ({
  name: group.AutoScalingGroupName ?? "",
  arn: group.AutoScalingGroupARN ?? "",
  minSize: group.MinSize ?? 0,
  maxSize: group.MaxSize ?? 0,
  desired: group.DesiredCapacity ?? 0,
  targetGroupArns: group.TargetGroupARNs ?? [],
  gracePeriodSeconds: group.HealthCheckGracePeriod ?? 0,
  suspended: new Set((group.SuspendedProcesses ?? []).map(({ ProcessName = "" }) => ProcessName)),
  instances: group.Instances ?? [],
});

/** A copy of what moto knows about instances and groups. moto changes nothing by itself, so it is read after each change only. */
export interface Inventory {
  instances(): readonly InventoryInstance[];
  instance(instanceId: string): InventoryInstance | undefined;
  groups(): readonly InventoryGroup[];
  group(name: string): InventoryGroup | undefined;
  readInstances(): Promise<void>;
  readGroups(): Promise<void>;
}

export const createInventory = (clients: EmulatorClients, now: () => number): Inventory => {
  let instances = new Map<string, InventoryInstance>();
  let groups = new Map<string, InventoryGroup>();
  return {
    instances: () => [...instances.values()],
    instance: (instanceId) => instances.get(instanceId),
    groups: () => [...groups.values()],
    group: (name) => groups.get(name),
    readInstances: async () => {
      const found = new Map<string, InventoryInstance>();
      const alive = ["pending", "running", "stopping", "stopped", "shutting-down"];
      const pages = paginateDescribeInstances(
        { client: clients.ec2 },
        { Filters: [{ Name: "instance-state-name", Values: alive }] },
      );
      for await (const page of pages) {
        for (const reservation of page.Reservations ?? []) {
          for (const instance of reservation.Instances ?? [])
            found.set(instance.InstanceId ?? "", toInstance(instance));
        }
      }
      for (const [instanceId, known] of instances) {
        if (found.has(instanceId)) continue;
        const goneAt = known.goneAt ?? now();
        if (now() - goneAt < rememberMs) found.set(instanceId, { ...known, state: "terminated", goneAt });
      }
      instances = found;
    },
    readGroups: async () => {
      const found = new Map<string, InventoryGroup>();
      for await (const page of paginateDescribeAutoScalingGroups({ client: clients.autoScaling }, {})) {
        for (const group of page.AutoScalingGroups ?? []) found.set(group.AutoScalingGroupName ?? "", toGroup(group));
      }
      groups = found;
    },
  };
};
