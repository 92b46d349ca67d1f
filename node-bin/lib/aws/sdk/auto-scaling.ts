/** What the node uses of this client: the bundle holds nothing else of it, and so starts sooner. Loaded on first use. */
export {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingGroupsCommand,
  DescribeAutoScalingInstancesCommand,
  RecordLifecycleActionHeartbeatCommand,
  SetInstanceProtectionCommand,
} from "@aws-sdk/client-auto-scaling";
