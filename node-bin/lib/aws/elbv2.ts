import type { TargetHealthDescription } from "@aws-sdk/client-elastic-load-balancing-v2";
import type { Aws } from "./clients.ts";
import { awsFailure } from "./failures.ts";

/** One target as the load balancer sees it. */
export interface Target {
  readonly instanceId: string;
  /** The load balancer's own word: `initial`, `healthy`, `unhealthy`, `draining`, `unused`, `unavailable`. */
  readonly state: string;
  /** False when the target is not in the group (the load balancer calls that `unused` too). */
  readonly registered: boolean;
  /** Why it is not healthy, in the load balancer's words. */
  readonly description: string | undefined;
}

/** Target groups of the cluster's load balancer. Errors: `permission-denied`, `aws-unavailable`. */
export interface TargetGroups {
  /** Registering a target again changes nothing. */
  register(arn: string, instanceId: string): Promise<void>;
  /** One that is not there, or not any more, is out: two may take it out at the same time. */
  deregister(arn: string, instanceId: string): Promise<void>;
  targetHealth(arn: string, instanceId: string): Promise<Target>;
  /** All targets of the group. */
  targets(arn: string): Promise<Target[]>;
}

/** What the load balancer says of a target that the group does not have. */
const notThere = "InvalidTargetException";

export const makeTargetGroups = (aws: Pick<Aws, "elbv2">): TargetGroups => {
  const load = async () => ({
    client: await aws.elbv2(),
    sdk: await import("./sdk/load-balancing.ts"),
  });

  const call = async <T>(
    action: string,
    resource: string,
    run: (loaded: Awaited<ReturnType<typeof load>>) => Promise<T>,
  ): Promise<T> => {
    try {
      return await run(await load());
    } catch (error) {
      throw awsFailure(error, { action: `elasticloadbalancing:${action}`, resource });
    }
  };

  return {
    register: (arn, instanceId) =>
      call("RegisterTargets", `instance ${instanceId}, target group ${arn}`, async ({ client, sdk }) => {
        await client.send(new sdk.RegisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: instanceId }] }));
      }),
    deregister: (arn, instanceId) =>
      call("DeregisterTargets", `instance ${instanceId}, target group ${arn}`, async ({ client, sdk }) => {
        const command = new sdk.DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: instanceId }] });
        await client.send(command).catch((error: unknown) => {
          if (!(error instanceof Error && error.name === notThere)) throw error;
        });
      }),
    targetHealth: (arn, instanceId) =>
      call("DescribeTargetHealth", `instance ${instanceId}, target group ${arn}`, async ({ client, sdk }) => {
        const answer = await client.send(
          new sdk.DescribeTargetHealthCommand({ TargetGroupArn: arn, Targets: [{ Id: instanceId }] }),
        );
        const [seen] = answer.TargetHealthDescriptions ?? [];
        return seen ? toTarget(seen) : { instanceId, state: "unused", registered: false, description: undefined };
      }),
    targets: (arn) =>
      call("DescribeTargetHealth", `target group ${arn}`, async ({ client, sdk }) => {
        const answer = await client.send(new sdk.DescribeTargetHealthCommand({ TargetGroupArn: arn }));
        return (answer.TargetHealthDescriptions ?? []).map(toTarget);
      }),
  };
};

const toTarget = ({ Target: target, TargetHealth: health }: TargetHealthDescription): Target => ({
  instanceId: target?.Id ?? "",
  state: health?.State ?? "unavailable",
  // A target that drains was taken out already; its connections end in their own time.
  registered: health?.State !== "draining" && health?.Reason !== "Target.NotRegistered",
  description: health?.Description,
});
