import {
  DescribeTargetHealthCommand,
  TargetGroupNotFoundException,
  TargetHealthStateEnum,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import { call } from "./call.ts";
import type { AwsClients } from "./clients.ts";

/** A registered target as the load balancer sees it. */
export interface SeenTarget {
  /** Instance id or address, after the group's target type. */
  readonly id: string;
  readonly port: number;
  readonly state: "in" | "unhealthy" | "initial" | "draining" | "out";
}

/** Targets of a group; undefined when there is no such group. */
export async function targetsOf(
  { loadBalancing }: Pick<AwsClients, "loadBalancing">,
  groupArn: string,
  signal: AbortSignal,
): Promise<SeenTarget[] | undefined> {
  return call({ action: "elasticloadbalancing:DescribeTargetHealth", on: groupArn, signal }, async () => {
    try {
      const answer = await loadBalancing.send(new DescribeTargetHealthCommand({ TargetGroupArn: groupArn }), {
        abortSignal: signal,
      });
      return (answer.TargetHealthDescriptions ?? []).map(({ Target, TargetHealth }) => ({
        id: Target?.Id ?? "",
        port: Target?.Port ?? 0,
        state: stateOf(TargetHealth?.State),
      }));
    } catch (error) {
      if (error instanceof TargetGroupNotFoundException) return undefined;
      throw error;
    }
  });
}

function stateOf(state: TargetHealthStateEnum | undefined): SeenTarget["state"] {
  switch (state) {
    case TargetHealthStateEnum.HEALTHY:
      return "in";
    case TargetHealthStateEnum.INITIAL:
      return "initial";
    case TargetHealthStateEnum.DRAINING:
    case TargetHealthStateEnum.UNHEALTHY_DRAINING:
      return "draining";
    case TargetHealthStateEnum.UNUSED:
      // Registered, and no listener sends anything to it.
      return "out";
    default:
      return "unhealthy";
  }
}
