import { Failure, type FailureReason } from "#contract/failure-reasons.ts";

/** The parts of the SDK's errors that are looked at. */
interface SdkError {
  readonly name: string;
  readonly message: string;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $retryable?: unknown;
}

const isSdkError = (error: unknown): error is SdkError => error instanceof Error;

const refusals =
  /^(AccessDenied|UnauthorizedOperation|UnauthorizedAccess|AuthFailure|UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|CredentialsProviderError|OptInRequired|KMSAccessDenied)/;

const overload =
  /^(Throttl|ProvisionedThroughputExceeded|RequestLimitExceeded|TooManyRequests|TransactionConflict|SlowDown|ServiceUnavailable|InternalServer|InternalFailure|InternalError|RequestTimeout|Timeout|TimeoutError|NetworkingError|AbortError)/;

/** What kind of failure an SDK error is: AWS refused it, AWS did not answer (perhaps after doing it), or something else. */
export const kindOfAwsError = (error: unknown): "refused" | "unavailable" | "other" => {
  if (!isSdkError(error)) return "other";
  if (refusals.test(error.name)) return "refused";
  const status = error.$metadata?.httpStatusCode;
  if (overload.test(error.name) || error.$retryable !== undefined || (status !== undefined && status >= 500))
    return "unavailable";
  // A refused or broken connection carries Node's code; an answer that is no AWS answer has no name of a service error.
  if (typeof error.code === "string" && /^(E[A-Z]+|UND_ERR)/.test(error.code)) return "unavailable";
  return "other";
};

/** Name of an SDK error; empty for other things. */
export const awsErrorName = (error: unknown): string => (isSdkError(error) ? error.name : "");

/** Name and message of an error, without a full stop, for the middle of a sentence. */
export const awsErrorText = (error: unknown): string =>
  (isSdkError(error) ? `${error.name}: ${error.message}` : String(error)).replace(/\.+$/, "");

/**
 * The failure for an error of an AWS call. `action` is the call as IAM names it, for example `dynamodb:GetItem`, and
 * `resource` what it was called on. `unavailable` is the reason for a service that does not answer.
 */
export const awsFailure = (
  error: unknown,
  call: { readonly action: string; readonly resource: string; readonly unavailable?: FailureReason },
): Failure => {
  if (error instanceof Failure) return error;
  const said = awsErrorText(error);
  const message = `${call.action} on ${call.resource} failed: ${said}.`;
  switch (kindOfAwsError(error)) {
    case "refused":
      return new Failure("permission-denied", {
        message,
        next: awsErrorName(error).startsWith("CredentialsProviderError")
          ? "Check that the instance has its role and that its metadata service answers. Running it again is safe."
          : `Allow ${call.action} on ${call.resource} for the role that the message names. Running it again is safe.`,
        cause: error,
      });
    case "unavailable":
      return new Failure(call.unavailable ?? "aws-unavailable", { message, cause: error });
    case "other":
      return new Failure("internal", { message, cause: error });
  }
};
