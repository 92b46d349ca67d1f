import { makeLifecycleHandler } from "./lib/lifecycle/handler.ts";

/**
 * The Lambda for a node that can no longer complete its own termination hook. It runs in no VPC and needs none: it talks to AWS
 * only. Its time should be 900 s, the longest there is, so that a hand-over can be watched to its end. Its role needs, besides
 * writing its own log:
 *
 * | action | on |
 * | --- | --- |
 * | autoscaling:DescribeAutoScalingGroups | `*`: it cannot be narrowed |
 * | autoscaling:CompleteLifecycleAction, autoscaling:RecordLifecycleActionHeartbeat | the cluster's group |
 * | ssm:SendCommand | the document `percona-{cluster_id}-status`, and instances with the tag `cluster_id` of this cluster |
 * | ssm:GetCommandInvocation | `*`: it cannot be narrowed |
 * | dynamodb:GetItem | the table `percona-{cluster_id}-locks` |
 * | elasticloadbalancing:DescribeTargetHealth | `*`: it cannot be narrowed |
 * | elasticloadbalancing:DeregisterTargets | the cluster's two target groups |
 *
 * The rule that calls it: source `aws.autoscaling`, detail type `EC2 Instance-terminate Lifecycle Action`, the group's name.
 */
export const handler = makeLifecycleHandler(process.env);
