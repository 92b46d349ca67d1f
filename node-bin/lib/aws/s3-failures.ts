import { Failure } from "#contract/failure-reasons.ts";
import { awsErrorName, awsFailure } from "./failures.ts";

/** What was called on which object; `key` is the object's key or a prefix of keys. */
export interface S3Call {
  readonly action: string;
  readonly bucket: string;
  readonly key: string;
  readonly signal?: AbortSignal | undefined;
}

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode;

/** How often the SDK sent the request whose error this is. */
export const attemptsOf = (error: unknown): number =>
  (error as { $metadata?: { attempts?: number } } | undefined)?.$metadata?.attempts ?? 1;

/** S3 says that there is no such object. A HEAD has no body, hence the second name. */
export const isMissingObject = (error: unknown): boolean => ["NoSuchKey", "NotFound"].includes(awsErrorName(error));

/** A conditional write met an object that was there already. */
export const isTaken = (error: unknown): boolean =>
  awsErrorName(error) === "PreconditionFailed" || statusOf(error) === 412;

/** Another conditional write of the same key was under way; S3 asks to try again. */
export const isConflict = (error: unknown): boolean => awsErrorName(error) === "ConditionalRequestConflict";

/** The failure for an error of an S3 call: it names the bucket and the key. */
export const s3Failure = (error: unknown, { action, bucket, key, signal }: S3Call): Failure => {
  if (error instanceof Failure) return error;
  const resource = `${key === "" ? "" : `${key} in `}bucket ${bucket}`;
  if (signal?.aborted) {
    if (signal.reason instanceof Failure) return signal.reason;
    return new Failure("interrupted", { message: `${action} on ${resource} was stopped.`, cause: signal.reason });
  }
  if (awsErrorName(error) === "NoSuchBucket") {
    return new Failure("store-unavailable", {
      message: `${action} on ${resource} failed: there is no bucket ${bucket}.`,
      next: "Create the bucket, or correct its name in the node's configuration. Running it again is safe.",
      cause: error,
    });
  }
  if (isConflict(error)) {
    const message = `${action} on ${resource} met another write of the same key.`;
    return new Failure("store-unavailable", { message, cause: error });
  }
  // A HEAD that is refused has no body and so no code of S3's.
  if (statusOf(error) === 403) {
    return new Failure("permission-denied", {
      message: `${action} on ${resource} was refused: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}.`,
      next: `Allow ${action} on ${resource} for the role of this instance. Running it again is safe.`,
      cause: error,
    });
  }
  return awsFailure(error, { action, resource, unavailable: "store-unavailable" });
};
