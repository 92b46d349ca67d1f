import { describe, expect, it } from "vitest";
import { awsFailure, call } from "#actions/lib/aws/call.ts";
import { Failure, type FailureReason } from "#contract/failure-reasons.ts";

/** An error as the AWS SDK throws it. */
const awsError = (name: string, httpStatusCode?: number): Error =>
  Object.assign(new Error(`${name} happened`), {
    name,
    ...(httpStatusCode === undefined ? {} : { $metadata: { httpStatusCode } }),
  });

const ec2 = { action: "ec2:DescribeInstances", on: "*" };
const dynamodb = { action: "dynamodb:GetItem", on: "percona-orders-locks" };

describe("what an AWS error means", () => {
  it.each<[string, { action: string; on: string }, Error, FailureReason]>([
    ["EC2's refusal", ec2, awsError("UnauthorizedOperation", 403), "permission-denied"],
    ["a refusal of the JSON services", dynamodb, awsError("AccessDeniedException", 400), "permission-denied"],
    [
      "S3's refusal without a body",
      { action: "s3:ListBucket", on: "b" },
      awsError("Forbidden", 403),
      "permission-denied",
    ],
    ["an expired session", ec2, awsError("ExpiredTokenException", 400), "permission-denied"],
    ["no credentials at all", ec2, awsError("CredentialsProviderError"), "permission-denied"],
    ["a dead network", ec2, awsError("TimeoutError"), "aws-unavailable"],
    ["a dead store", dynamodb, awsError("ECONNREFUSED"), "store-unavailable"],
    ["a server error", dynamodb, awsError("InternalServerError", 500), "store-unavailable"],
    ["throttling", ec2, awsError("RequestLimitExceeded", 400), "aws-unavailable"],
    ["anything else", ec2, awsError("InvalidParameterValue", 400), "internal"],
  ])("%s", (_, on, error, reason) => {
    const failure = awsFailure(on, error);
    expect(failure.reason).toBe(reason);
    expect(failure.message).toContain(on.action);
    expect(failure.message).toContain(on.on);
    expect(failure.cause).toBe(error);
  });

  it("says how to get credentials", () => {
    expect(awsFailure(ec2, awsError("ExpiredToken", 400)).next).toContain("aws-actions/configure-aws-credentials");
  });

  it("leaves a failure as it is", () => {
    const failure = new Failure("table-missing", { message: "x" });
    expect(awsFailure(dynamodb, failure)).toBe(failure);
  });
});

describe("an aborted call", () => {
  const aborted = (reason: Failure) =>
    call({ ...ec2, signal: AbortSignal.abort(reason) }, () => Promise.reject(awsError("AbortError")));

  it("ends with the reason of the abort, not with the SDK's error", async () => {
    const cancelled = new Failure("interrupted", { message: "cancelled" });
    await expect(aborted(cancelled)).rejects.toBe(cancelled);
  });

  it("that ran out of time says what it waited for", async () => {
    const late = new Failure("timed-out", { message: "Too late.", next: "Wait longer." });
    await expect(aborted(late)).rejects.toMatchObject({
      reason: "timed-out",
      message: "Too late. ec2:DescribeInstances on * had not answered.",
      next: "Wait longer.",
    });
  });
});
