import type { Instance } from "@aws-sdk/client-ec2";
import { tags as tagNames } from "#contract/tags.ts";
import type { Aws } from "./clients.ts";
import { awsFailure } from "./failures.ts";

/** One instance as EC2 describes it. */
export interface Ec2Instance {
  readonly instanceId: string;
  /** Absent once the instance is terminated. */
  readonly privateIp: string | undefined;
  readonly availabilityZone: string | undefined;
  /** EC2's own word: `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`. */
  readonly state: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly launchedAt: Date | undefined;
}

/** The instances of a cluster. Errors: `permission-denied`, `aws-unavailable`. */
export interface Ec2 {
  /** Sets these tags and leaves the others alone. */
  tagInstance(instanceId: string, tags: Readonly<Record<string, string>>): Promise<void>;
  /** Instances by the cluster's tag, without those that are gone, or by id; ids that EC2 does not know are left out. */
  describeInstances(
    which: { readonly clusterId: string } | { readonly ids: readonly string[] },
  ): Promise<Ec2Instance[]>;
}

const present = ["pending", "running", "shutting-down", "stopping", "stopped"];

export const makeEc2 = (aws: Pick<Aws, "ec2">): Ec2 => ({
  tagInstance: async (instanceId, tags) => {
    try {
      const [client, { CreateTagsCommand }] = await Promise.all([aws.ec2(), import("./sdk/ec2.ts")]);
      await client.send(
        new CreateTagsCommand({
          Resources: [instanceId],
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        }),
      );
    } catch (error) {
      throw awsFailure(error, { action: "ec2:CreateTags", resource: `instance ${instanceId}` });
    }
  },
  describeInstances: async (which) => {
    const ids = "ids" in which ? [...which.ids] : undefined;
    if (ids?.length === 0) return [];
    const resource = "ids" in which ? `instances ${which.ids.join(", ")}` : `instances of cluster ${which.clusterId}`;
    // A filter, because naming an unknown id as such is an error.
    const Filters =
      "ids" in which
        ? [{ Name: "instance-id", Values: [...which.ids] }]
        : [
            { Name: `tag:${tagNames.clusterId}`, Values: [which.clusterId] },
            { Name: "instance-state-name", Values: present },
          ];
    try {
      const [client, { paginateDescribeInstances }] = await Promise.all([aws.ec2(), import("./sdk/ec2.ts")]);
      const found: Ec2Instance[] = [];
      for await (const page of paginateDescribeInstances({ client }, { Filters })) {
        for (const { Instances = [] } of page.Reservations ?? []) found.push(...Instances.flatMap(toInstance));
      }
      return found;
    } catch (error) {
      throw awsFailure(error, { action: "ec2:DescribeInstances", resource });
    }
  },
});

const toInstance = (seen: Instance): Ec2Instance[] =>
  seen.InstanceId === undefined
    ? []
    : [
        {
          instanceId: seen.InstanceId,
          privateIp: seen.PrivateIpAddress,
          availabilityZone: seen.Placement?.AvailabilityZone,
          state: seen.State?.Name ?? "unknown",
          tags: Object.fromEntries((seen.Tags ?? []).map(({ Key, Value }) => [Key ?? "", Value ?? ""])),
          launchedAt: seen.LaunchTime,
        },
      ];
