import { Failure, messageOf } from "#contract/failure-reasons.ts";

/** One call of an AWS API, as permissions name it. */
export interface AwsCall {
  /** For example `ec2:DescribeInstances`. */
  readonly action: string;
  /** What it is done to, for the sentence "… on …". */
  readonly on: string;
  readonly signal: AbortSignal;
}

/**
 * Does one call.
 *
 * @throws the signal's reason when it was aborted; otherwise a Failure. Either names the call.
 */
export async function call<T>(what: AwsCall, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw what.signal.aborted ? whyAborted(what) : awsFailure(what, error);
  }
}

/** The reason of the abort; one that ran out of time also says what it waited for. */
function whyAborted({ action, on, signal }: AwsCall): unknown {
  const { reason } = signal;
  if (!(reason instanceof Failure) || reason.reason !== "timed-out") return reason;
  const { message, changed, next } = reason;
  return new Failure("timed-out", {
    message: `${message} ${action} on ${on} had not answered.`,
    changed,
    next,
    cause: reason,
  });
}

/** The AWS name of an error; empty for others. */
export const errorName = (error: unknown): string => (error instanceof Error ? error.name : "");

const denied = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "AccessDeniedFault",
  "AuthorizationError",
  "NotAuthorized",
  "OptInRequired",
  "UnauthorizedOperation",
]);

const notAccepted = new Set([
  "AuthFailure",
  "CredentialsProviderError",
  "ExpiredToken",
  "ExpiredTokenException",
  "IncompleteSignature",
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "InvalidToken",
  "MissingAuthenticationToken",
  "RequestExpired",
  "SignatureDoesNotMatch",
  "TokenProviderError",
  "UnrecognizedClientException",
]);

/** What an error of an AWS client means to the person who runs the action. */
export function awsFailure({ action, on }: Omit<AwsCall, "signal">, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const name = errorName(error);
  const status = httpStatus(error);
  const text = messageOf(error);
  if (notAccepted.has(name)) {
    return new Failure("permission-denied", {
      message: `AWS does not accept the credentials for ${action} on ${on} (${name}): ${text}`,
      next: "Run aws-actions/configure-aws-credentials in the same job before this step. Running it again is safe.",
      cause: error,
    });
  }
  if (denied.has(name) || status === 403) {
    return new Failure("permission-denied", {
      message: `AWS refused ${action} on ${on} (${name}): ${text}`,
      cause: error,
    });
  }
  if (
    status === undefined ||
    status >= 500 ||
    status === 429 ||
    /^(Throttl|TooManyRequests|RequestLimit|SlowDown)/.test(name)
  ) {
    const store = action.startsWith("dynamodb:") || action.startsWith("s3:");
    return new Failure(store ? "store-unavailable" : "aws-unavailable", {
      message: `${action} on ${on} got no answer (${name}): ${text}`,
      next: "Run it again; when it stays so, look at the region's service health and at the runner's network.",
      cause: error,
    });
  }
  return new Failure("internal", { message: `${action} on ${on} failed (${name}): ${text}`, cause: error });
}

function httpStatus(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const metadata = error.$metadata as { httpStatusCode?: number } | undefined;
  return metadata?.httpStatusCode;
}
