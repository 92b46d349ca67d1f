/** What the node uses of this client: the bundle holds nothing else of it, and so starts sooner. Loaded on first use. */
export {
  DeregisterTargetsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
} from "@aws-sdk/client-elastic-load-balancing-v2";
