import { readFile } from "node:fs/promises";
import { namePrefix } from "#contract/names.ts";
import type { ClusterResources } from "./quick-start.ts";
import { signedFetch } from "./signed-query.ts";
import type { Cloud } from "./types.ts";
import { zipOf } from "./zip.ts";

/** A function of the emulated Lambda. */
export interface FunctionDefinition {
  readonly name: string;
  /** The module's text; it exports `handler`. */
  readonly code: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
  /** The longest that one call may take. */
  readonly timeoutSeconds: number;
}

type Signer = Pick<Cloud, "accountId" | "endpoint" | "operator" | "region">;

/** The function runs on this machine, on this Node, so that only the lab's owner may make it. Resolves whatever the status is. */
export const createFunction = (cloud: Signer, { name, code, environment, timeoutSeconds }: FunctionDefinition) =>
  signedFetch(cloud, "lambda", {
    method: "POST",
    path: "/2015-03-31/functions",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      FunctionName: name,
      Runtime: "nodejs22.x",
      Handler: "index.handler",
      Role: `arn:aws:iam::${cloud.accountId}:role/${name}`,
      Timeout: timeoutSeconds,
      Environment: { Variables: environment ?? {} },
      Code: { ZipFile: zipOf("index.mjs", code).toString("base64") },
    }),
  });

/** Calls an operation of EventBridge. Rejects on an error. */
export const eventBridge = async (cloud: Signer, operation: string, body: unknown): Promise<unknown> => {
  const response = await signedFetch(cloud, "events", {
    method: "POST",
    path: "/",
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": `AWSEvents.${operation}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
  return response.json();
};

/** Has a function called for each instance that a group is about to terminate. */
export const callOnTermination = async (cloud: Signer, asgName: string, functionName: string): Promise<void> => {
  await eventBridge(cloud, "PutRule", {
    Name: functionName,
    EventPattern: JSON.stringify({
      source: ["aws.autoscaling"],
      "detail-type": ["EC2 Instance-terminate Lifecycle Action"],
      detail: { AutoScalingGroupName: [asgName] },
    }),
  });
  await eventBridge(cloud, "PutTargets", {
    Rule: functionName,
    Targets: [{ Id: "lambda", Arn: `arn:aws:lambda:${cloud.region}:${cloud.accountId}:function:${functionName}` }],
  });
};

/** As long as Lambda lets a function run: a hand-over may take its time. */
const lifecycleTimeoutSeconds = 900;

/** Makes the cluster's function for nodes that cannot complete their own termination hook, and the rule that calls it. */
export const createLifecycleFunction = async (
  cloud: Signer,
  cluster: Pick<ClusterResources, "asgName" | "clusterId" | "readTargetGroupArn" | "writeTargetGroupArn">,
  bundle: string,
): Promise<void> => {
  const name = `${namePrefix(cluster.clusterId)}-raft-lifecycle`;
  const answer = await createFunction(cloud, {
    name,
    code: await readFile(bundle),
    timeoutSeconds: lifecycleTimeoutSeconds,
    environment: {
      CLUSTER_ID: cluster.clusterId,
      ASG_NAME: cluster.asgName,
      WRITE_TARGET_GROUP_ARN: cluster.writeTargetGroupArn,
      READ_TARGET_GROUP_ARN: cluster.readTargetGroupArn,
    },
  });
  if (answer.status !== 201) throw new Error(`The function ${name} was not made: ${await answer.text()}`);
  await callOnTermination(cloud, cluster.asgName, name);
};
