import { DescribeAutoScalingInstancesCommand } from "@aws-sdk/client-auto-scaling";
import { DescribeInstancesCommand, type Instance, paginateDescribeInstances } from "@aws-sdk/client-ec2";
import { tags } from "#contract/tags.ts";
import { call } from "./call.ts";
import type { AwsClients } from "./clients.ts";

/** An instance that carries a cluster's tag. */
export interface SeenInstance {
  readonly instance_id: string;
  readonly private_ip: string;
  readonly availability_zone: string;
  /** EC2's word: `running`, `stopped`, … */
  readonly state: string;
  readonly tags: Readonly<Record<string, string>>;
}

const stillThere = ["pending", "running", "stopping", "stopped", "shutting-down"];

/** Instances with the cluster's tag, or with that of any cluster; those already terminated are left out. Sorted by id. */
export async function clusterInstances(
  { ec2 }: Pick<AwsClients, "ec2">,
  clusterId: string | undefined,
  signal: AbortSignal,
): Promise<SeenInstance[]> {
  const ofCluster =
    clusterId === undefined
      ? { Name: "tag-key", Values: [tags.clusterId] }
      : { Name: `tag:${tags.clusterId}`, Values: [clusterId] };
  const filters = [ofCluster, { Name: "instance-state-name", Values: stillThere }];
  return call({ action: "ec2:DescribeInstances", on: "*", signal }, async () => {
    const found: SeenInstance[] = [];
    const pages = paginateDescribeInstances({ client: ec2 }, { Filters: filters }, { abortSignal: signal });
    for await (const page of pages) {
      for (const reservation of page.Reservations ?? []) found.push(...(reservation.Instances ?? []).map(seen));
    }
    return found.sort((a, b) => (a.instance_id < b.instance_id ? -1 : 1));
  });
}

/** The cluster whose tag an instance carries; undefined when it carries none, or no such instance is known. */
export async function clusterOfInstance(
  { ec2 }: Pick<AwsClients, "ec2">,
  instanceId: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  // A filter, because naming an id that does not exist is an error.
  const request = new DescribeInstancesCommand({ Filters: [{ Name: "instance-id", Values: [instanceId] }] });
  const answer = await call({ action: "ec2:DescribeInstances", on: "*", signal }, () =>
    ec2.send(request, { abortSignal: signal }),
  );
  const [instance] = (answer.Reservations ?? []).flatMap(({ Instances = [] }) => Instances);
  return instance === undefined ? undefined : seen(instance).tags[tags.clusterId];
}

const seen = (instance: Instance): SeenInstance => ({
  instance_id: instance.InstanceId ?? "",
  private_ip: instance.PrivateIpAddress ?? "",
  availability_zone: instance.Placement?.AvailabilityZone ?? "",
  state: instance.State?.Name ?? "unknown",
  tags: Object.fromEntries((instance.Tags ?? []).map(({ Key, Value }) => [Key ?? "", Value ?? ""])),
});

/** Lifecycle states in their Auto Scaling groups by instance id; an instance outside any group is not in it. */
export async function lifecycleStates(
  { autoScaling }: Pick<AwsClients, "autoScaling">,
  instanceIds: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  // The API takes 50 ids at most.
  for (let from = 0; from < instanceIds.length; from += 50) {
    const InstanceIds = instanceIds.slice(from, from + 50);
    const answer = await call({ action: "autoscaling:DescribeAutoScalingInstances", on: "*", signal }, () =>
      autoScaling.send(new DescribeAutoScalingInstancesCommand({ InstanceIds }), { abortSignal: signal }),
    );
    for (const instance of answer.AutoScalingInstances ?? []) {
      if (instance.InstanceId) states.set(instance.InstanceId, instance.LifecycleState ?? "unknown");
    }
  }
  return states;
}
