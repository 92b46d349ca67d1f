import { createHash, randomUUID } from "node:crypto";
import type { S3Client } from "@aws-sdk/client-s3";
import { Failure } from "#contract/failure-reasons.ts";
import { isMissingObject, isTaken, s3Failure } from "./s3-failures.ts";

/** S3's limits of a multipart upload. */
export const multipartLimits = { parts: 10_000, smallestPart: 5 * 1024 * 1024 } as const;

/** How an object of unknown length is sent. */
export interface UploadOptions {
  /** Bytes of a part, at least 5 MiB; the object has at most 10,000 of them. `parts at once + 1` such buffers are held. */
  readonly partSize: number;
  /** Parts on their way at the same time; 3 unless given. */
  readonly atOnce?: number;
  readonly signal?: AbortSignal;
  /** Called when all bytes are there and before the object becomes visible; what it throws ends the upload. */
  readonly beforeCommit?: () => Promise<void>;
}

/** How an upload ended. `exists` says that another object has the key; it was left alone. */
export type Uploaded =
  | {
      readonly result: "created";
      /** Bytes. */
      readonly size: number;
      /** Of all bytes, lower-case hex. */
      readonly sha256: string;
      /** Key id of the encryption, when the bucket encrypts with a key of KMS. */
      readonly keyId?: string;
    }
  | { readonly result: "exists" };

/** Name of the metadata by which an upload whose reply was lost recognises its own object. */
const nonceName = "upload-nonce";

/** What `uploadOnce` needs of its bucket. */
export interface UploadTarget {
  readonly client: S3Client;
  readonly bucket: string;
  /** Puts an object of one buffer under the same condition. */
  putOnce(key: string, body: Uint8Array, signal: AbortSignal | undefined): Promise<"created" | "exists">;
}

/**
 * Sends a stream as an object that must not be there yet. Written by hand because the SDK's own `Upload` leaves the parts behind
 * when it is aborted or when the completion is refused. On failure the incomplete upload is removed.
 */
export const uploadOnce = async (
  { client, bucket, putOnce }: UploadTarget,
  key: string,
  source: AsyncIterable<Uint8Array>,
  { partSize, atOnce = 3, signal, beforeCommit }: UploadOptions,
): Promise<Uploaded> => {
  if (partSize < multipartLimits.smallestPart) throw new RangeError(`a part of ${partSize} bytes is below S3's 5 MiB`);
  const s3 = await import("./sdk/s3.ts");
  const stop = new AbortController();
  const abortSignal = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const failure = (action: string, error: unknown) => s3Failure(error, { action, bucket, key, signal });
  const hash = createHash("sha256");
  const nonce = randomUUID();
  const free: Buffer[] = [];
  const sending = new Set<Promise<void>>();
  const parts: { PartNumber: number; ETag: string | undefined; ChecksumCRC32: string | undefined }[] = [];
  let buffers = 0;
  let sent = 0;
  let size = 0;
  let filled = 0;
  let uploadId: string | undefined;
  let firstError: unknown;

  const takeBuffer = async (): Promise<Buffer> => {
    while (free.length === 0 && buffers > atOnce) await Promise.race(sending);
    const recycled = free.pop();
    if (recycled) return recycled;
    buffers += 1;
    return Buffer.allocUnsafeSlow(partSize);
  };

  const begin = async (): Promise<string> => {
    try {
      const { UploadId } = await client.send(
        new s3.CreateMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          ChecksumAlgorithm: "CRC32",
          Metadata: { [nonceName]: nonce },
        }),
        { abortSignal },
      );
      if (UploadId === undefined) throw new Error("the answer has no upload id");
      return UploadId;
    } catch (error) {
      throw failure("s3:PutObject", error);
    }
  };

  const sendPart = async (partNumber: number, buffer: Buffer, length: number): Promise<void> => {
    try {
      const { ETag, ChecksumCRC32 } = await client.send(
        new s3.UploadPartCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: buffer.subarray(0, length),
        }),
        { abortSignal },
      );
      parts.push({ PartNumber: partNumber, ETag, ChecksumCRC32 });
    } catch (error) {
      firstError ??= failure("s3:PutObject", error);
    } finally {
      free.push(buffer);
    }
  };

  const dispatch = async (buffer: Buffer, length: number): Promise<void> => {
    uploadId ??= await begin();
    const partNumber = ++sent;
    if (partNumber > multipartLimits.parts) {
      throw new RangeError(`${key} has more than ${multipartLimits.parts} parts of ${partSize} bytes`);
    }
    const part = sendPart(partNumber, buffer, length);
    sending.add(part);
    void part.finally(() => sending.delete(part));
  };

  const abandon = async (): Promise<void> => {
    stop.abort();
    // A part that arrives after the abort would be kept, and paid for.
    await Promise.allSettled(sending);
    if (uploadId === undefined) return;
    await client
      .send(new s3.AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }))
      // What is left is removed with the other leftovers before the next backup, or by the bucket's lifecycle rule.
      .catch(() => {});
  };

  /** Whether the object at the key is this upload's, after a completion that did not answer with success. */
  const settled = async (): Promise<"own" | "other" | "none"> => {
    try {
      const { Metadata } = await client.send(new s3.HeadObjectCommand({ Bucket: bucket, Key: key }));
      return Metadata?.[nonceName] === nonce ? "own" : "other";
    } catch (error) {
      if (isMissingObject(error)) return "none";
      const mapped = failure("s3:GetObject", error);
      throw new Failure(mapped.reason, {
        message: `${mapped.message} It is not known whether the object was completed before.`,
        changed: "The object may have been written.",
        cause: error,
      });
    }
  };

  const complete = async (): Promise<Uploaded> => {
    const sha256 = hash.digest("hex");
    try {
      const answer = await client.send(
        new s3.CompleteMultipartUploadCommand({
          Bucket: bucket,
          Key: key,
          UploadId: uploadId,
          IfNoneMatch: "*",
          MultipartUpload: { Parts: parts.sort((a, b) => a.PartNumber - b.PartNumber) },
        }),
        { abortSignal },
      );
      return { result: "created", size, sha256, ...(answer.SSEKMSKeyId ? { keyId: answer.SSEKMSKeyId } : {}) };
    } catch (error) {
      const there = await settled();
      if (there === "own") return { result: "created", size, sha256 };
      await abandon();
      if (there === "other" || isTaken(error)) return { result: "exists" };
      throw failure("s3:PutObject", error);
    }
  };

  try {
    let buffer = await takeBuffer();
    for await (const chunk of source) {
      hash.update(chunk);
      size += chunk.byteLength;
      let rest = chunk;
      while (rest.byteLength > 0) {
        if (filled === partSize) {
          await dispatch(buffer, filled);
          buffer = await takeBuffer();
          filled = 0;
        }
        const taken = rest.subarray(0, partSize - filled);
        buffer.set(taken, filled);
        filled += taken.byteLength;
        rest = rest.subarray(taken.byteLength);
      }
      if (firstError) throw firstError;
      signal?.throwIfAborted();
    }
    if (uploadId === undefined) {
      await beforeCommit?.();
      const result = await putOnce(key, buffer.subarray(0, filled), signal);
      return result === "exists" ? { result } : { result, size, sha256: hash.digest("hex") };
    }
    await dispatch(buffer, filled);
    await Promise.all(sending);
    if (firstError) throw firstError;
    await beforeCommit?.();
  } catch (error) {
    await abandon();
    throw signal?.aborted ? failure("s3:PutObject", error) : error;
  }
  return await complete();
};
