import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { ClusterId } from "#contract/names.ts";

const Arn = v.pipe(v.string(), v.startsWith("arn:", "an ARN begins with arn:"));

const Environment = v.object({
  CLUSTER_ID: ClusterId,
  ASG_NAME: v.pipe(v.string(), v.nonEmpty()),
  WRITE_TARGET_GROUP_ARN: Arn,
  READ_TARGET_GROUP_ARN: Arn,
  AWS_REGION: v.pipe(v.string(), v.nonEmpty()),
});

/** What the function is configured with. */
export interface Settings {
  readonly clusterId: string;
  readonly asgName: string;
  readonly targetGroupArns: readonly string[];
  readonly region: string;
}

/**
 * Reads the function's environment: `CLUSTER_ID`, `ASG_NAME`, `WRITE_TARGET_GROUP_ARN`, `READ_TARGET_GROUP_ARN`; `AWS_REGION`
 * comes from Lambda. Errors: `bad-input` with every wrong variable.
 */
export const readSettings = (environment: NodeJS.ProcessEnv): Settings => {
  const parsed = v.safeParse(Environment, environment);
  if (!parsed.success) {
    const wrong = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "environment"}: ${issue.message}`).join("; ");
    throw new Failure("bad-input", { message: `The function's environment is wrong: ${wrong}.` });
  }
  const { CLUSTER_ID, ASG_NAME, WRITE_TARGET_GROUP_ARN, READ_TARGET_GROUP_ARN, AWS_REGION } = parsed.output;
  return {
    clusterId: CLUSTER_ID,
    asgName: ASG_NAME,
    targetGroupArns: [WRITE_TARGET_GROUP_ARN, READ_TARGET_GROUP_ARN],
    region: AWS_REGION,
  };
};
