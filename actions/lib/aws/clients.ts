import { AutoScalingClient } from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EC2Client } from "@aws-sdk/client-ec2";
import { ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import { S3Client } from "@aws-sdk/client-s3";
import { SSMClient } from "@aws-sdk/client-ssm";
import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";

/** AWS clients of one run. */
export interface AwsClients {
  readonly ec2: EC2Client;
  readonly autoScaling: AutoScalingClient;
  readonly loadBalancing: ElasticLoadBalancingV2Client;
  readonly dynamodb: DynamoDBClient;
  readonly s3: S3Client;
  readonly ssm: SSMClient;
  /** Closes their connections. */
  readonly destroy: () => void;
}

/** Schema of a region's name. */
export const Region = v.pipe(v.string(), v.regex(/^[a-z]{2}(-[a-z]+)+-\d{1,2}$/, "a region looks like eu-west-1"));

/**
 * The region to work in: the input, otherwise the one that aws-actions/configure-aws-credentials has set.
 *
 * @throws Failure `bad-input` when neither is there.
 */
export function regionFrom(input: string | undefined, env: NodeJS.ProcessEnv): string {
  const region = input ?? (env.AWS_REGION || env.AWS_DEFAULT_REGION);
  if (region) return region;
  throw new Failure("bad-input", {
    message: 'Input "aws-region" is not set, and neither is AWS_REGION in the environment.',
  });
}

/** Clients with the default chain of credentials and endpoints, as every AWS tool on the runner has it. */
export function makeClients(region: string, action: string): AwsClients {
  const common = {
    region,
    maxAttempts: 4,
    customUserAgent: `percona-actions/${action}`,
    requestHandler: { connectionTimeout: 5000, requestTimeout: 15_000 },
  };
  const clients = {
    ec2: new EC2Client(common),
    autoScaling: new AutoScalingClient(common),
    loadBalancing: new ElasticLoadBalancingV2Client(common),
    dynamodb: new DynamoDBClient(common),
    s3: new S3Client({ ...common, followRegionRedirects: true }),
    ssm: new SSMClient(common),
  };
  return {
    ...clients,
    destroy: () => {
      for (const client of Object.values(clients)) client.destroy();
    },
  };
}
