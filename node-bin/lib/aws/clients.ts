import type { AutoScalingClient } from "@aws-sdk/client-auto-scaling";
import type { EC2Client } from "@aws-sdk/client-ec2";
import type { ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import type { S3Client } from "@aws-sdk/client-s3";
import type { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import type { SNSClient } from "@aws-sdk/client-sns";
import type { SSMClient } from "@aws-sdk/client-ssm";
import { type Documents, quickDocuments } from "./quick-documents.ts";

/** Where and from which address AWS is called. */
export interface AwsOptions {
  readonly region: string;
  /** The node's own address: every connection to AWS is made from it, so that nodes can be cut off one by one. */
  readonly sourceAddress?: string;
}

/**
 * The AWS clients of one process, made at first use: loading a client costs 10 to 200 ms, which a hook script that does not
 * need it must not pay. Endpoints come from `AWS_ENDPOINT_URL*`, credentials from the SDK's default chain.
 */
export interface Aws {
  readonly region: string;
  dynamodb(): Promise<Documents>;
  s3(): Promise<S3Client>;
  secretsManager(): Promise<SecretsManagerClient>;
  ec2(): Promise<EC2Client>;
  autoScaling(): Promise<AutoScalingClient>;
  elbv2(): Promise<ElasticLoadBalancingV2Client>;
  sns(): Promise<SNSClient>;
  ssm(): Promise<SSMClient>;
  /** Closes the connections of the clients that were made. */
  close(): void;
}

/** How patient a client is, milliseconds. */
interface Patience {
  readonly connectionTimeout: number;
  /** From sending to the head of the answer, one attempt. */
  readonly requestTimeout?: number;
  /** A connection on which nothing moves for this long is given up. */
  readonly socketTimeout: number;
  readonly maxAttempts: number;
}

/** A lease must know quickly: at the worst 2.1 s, which leaves room within a lease of 3 s for a second renewal. */
const lease: Patience = { connectionTimeout: 500, requestTimeout: 1000, socketTimeout: 1000, maxAttempts: 2 };

const control: Patience = { connectionTimeout: 2000, requestTimeout: 15_000, socketTimeout: 15_000, maxAttempts: 4 };

/** No limit on the whole request: sending a large part over a slow link is not a fault, silence is. */
const bulk: Patience = { connectionTimeout: 3000, socketTimeout: 60_000, maxAttempts: 5 };

/** A new object for each: the document client changes those it is given. */
const marshallOptions = () => ({ removeUndefinedValues: true });

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

/** Makes the clients of one process. Nothing is loaded or connected before the first use of each. */
export const makeAws = ({ region, sourceAddress }: AwsOptions): Aws => {
  const opened: { destroy(): void }[] = [];
  const agent = { keepAlive: true, ...(sourceAddress === undefined ? {} : { localAddress: sourceAddress }) };
  const settings = ({ maxAttempts, ...timeouts }: Patience) => ({
    region,
    maxAttempts,
    // Without `throwOnRequestTimeout` the SDK only warns about a request that takes too long.
    requestHandler: { ...timeouts, throwOnRequestTimeout: true, httpAgent: agent, httpsAgent: agent },
  });
  const opening = <T extends { destroy(): void }>(client: T): T => {
    opened.push(client);
    return client;
  };
  return {
    region,
    dynamodb: once(async () => {
      const [{ DynamoDBClient }, { BatchGetCommand, DynamoDBDocumentClient, UpdateCommand }, quickly, marshalling] =
        await Promise.all([
          import("./sdk/dynamodb.ts"),
          import("./sdk/dynamodb-documents.ts"),
          import("./quick-calls.ts"),
          import("./sdk/dynamodb-marshalling.ts"),
        ]);
      const client = (patience: Patience) => opening(new DynamoDBClient(settings(patience)));
      const [usual, single] = [client(lease), client({ ...lease, maxAttempts: 1 })];
      const documents = (of: typeof usual) => DynamoDBDocumentClient.from(of, { marshallOptions: marshallOptions() });
      return quickDocuments({
        quick: quickly.makeQuickCalls(single, [usual, single], marshalling.SignatureV4),
        marshalling: {
          marshall: (item) => marshalling.marshall(item, marshallOptions()),
          unmarshall: (item) => marshalling.unmarshall(item),
        },
        commands: { BatchGetItem: BatchGetCommand, UpdateItem: UpdateCommand },
        once: documents(single),
        usual: documents(usual),
      });
    }),
    s3: once(async () => {
      const { S3Client } = await import("./sdk/s3.ts");
      return opening(new S3Client(settings(bulk)));
    }),
    secretsManager: once(async () => {
      const { SecretsManagerClient } = await import("./sdk/secrets-manager.ts");
      return opening(new SecretsManagerClient(settings(control)));
    }),
    ec2: once(async () => {
      const { EC2Client } = await import("./sdk/ec2.ts");
      return opening(new EC2Client(settings(control)));
    }),
    autoScaling: once(async () => {
      const { AutoScalingClient } = await import("./sdk/auto-scaling.ts");
      return opening(new AutoScalingClient(settings(control)));
    }),
    elbv2: once(async () => {
      const { ElasticLoadBalancingV2Client } = await import("./sdk/load-balancing.ts");
      return opening(new ElasticLoadBalancingV2Client(settings(control)));
    }),
    sns: once(async () => {
      const { SNSClient } = await import("./sdk/sns.ts");
      return opening(new SNSClient(settings(control)));
    }),
    ssm: once(async () => {
      const { SSMClient } = await import("./sdk/ssm.ts");
      return opening(new SSMClient(settings(control)));
    }),
    close: () => {
      for (const client of opened) client.destroy();
    },
  };
};
