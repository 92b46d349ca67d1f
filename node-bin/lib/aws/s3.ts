import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { Failure } from "#contract/failure-reasons.ts";
import type { Aws } from "./clients.ts";
import { attemptsOf, isConflict, isMissingObject, isTaken, type S3Call, s3Failure } from "./s3-failures.ts";
import { type ObjectRead, openObject, type ReadPatience, readPatience } from "./s3-read.ts";
import { type Uploaded, type UploadOptions, uploadOnce } from "./s3-upload.ts";

export type { ObjectRead } from "./s3-read.ts";
export type { Uploaded, UploadOptions } from "./s3-upload.ts";

/** An object as a listing shows it. */
export interface ListedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** A multipart upload that was neither completed nor aborted. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
}

/**
 * One bucket. Errors of all methods: `permission-denied` and `store-unavailable`, naming the call, the bucket and the key;
 * `interrupted` when the signal was aborted.
 */
export interface Bucket {
  readonly name: string;
  /** All objects whose keys begin so, in the order of their keys, page by page. */
  list(prefix: string): AsyncIterable<ListedObject>;
  /** The object's bytes, taken up again where a connection broke; undefined when there is no such object. */
  get(key: string, options?: { readonly signal?: AbortSignal }): Promise<ObjectRead | undefined>;
  /** The object as JSON; undefined when there is none. Throws a SyntaxError when it is something else. For small objects. */
  getJson(key: string): Promise<unknown>;
  /**
   * Writes an object that must not be there yet. `exists`: another one is there and was left alone. When a reply was lost the
   * contents are compared: its own object is reported as `created`. For small objects.
   */
  putOnce(key: string, body: string | Uint8Array): Promise<"created" | "exists">;
  /** Sends a stream of any length as an object that must not be there yet, in bounded memory. */
  uploadOnce(key: string, source: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<Uploaded>;
  /** Size in bytes; undefined when there is no such object. */
  head(key: string): Promise<{ readonly size: number } | undefined>;
  /** Removes the object; one that is not there is no error. */
  remove(key: string): Promise<void>;
  /** Multipart uploads under the prefix that a process left behind when it was killed. */
  listUploads(prefix: string): AsyncIterable<UnfinishedUpload>;
  /** Removes the parts of such an upload; one that is not there any more is no error. */
  abortUpload(upload: UnfinishedUpload): Promise<void>;
}

/** The bucket of that name. Nothing is connected before the first call. */
export const makeBucket = (
  aws: Pick<Aws, "s3">,
  name: string,
  options: { readonly patience?: ReadPatience } = {},
): Bucket => {
  const load = async () => Promise.all([aws.s3(), import("./sdk/s3.ts")] as const);
  const callOn = (action: string, key: string, signal?: AbortSignal): S3Call => ({
    action,
    bucket: name,
    key,
    signal,
  });

  const get: Bucket["get"] = async (key, { signal } = {}) => {
    try {
      const [client] = await load();
      return await openObject(client, name, key, signal, options.patience ?? readPatience);
    } catch (error) {
      if (isMissingObject(error)) return undefined;
      throw s3Failure(error, callOn("s3:GetObject", key, signal));
    }
  };

  const holds = async (key: string, body: Uint8Array): Promise<"same" | "other" | "none"> => {
    const found = await get(key);
    if (!found) return "none";
    if (found.size !== body.byteLength) {
      found.stream.destroy();
      return "other";
    }
    return (await collect(found.stream)).equals(body) ? "same" : "other";
  };

  const putOnce = async (key: string, body: Uint8Array, signal?: AbortSignal): Promise<"created" | "exists"> => {
    const [client, s3] = await load();
    // Once a reply was lost, an object that is in the way may be this very write's.
    let replyLost = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await client.send(
          new s3.PutObjectCommand({ Bucket: name, Key: key, Body: body, IfNoneMatch: "*" }),
          signal ? { abortSignal: signal } : {},
        );
        return "created";
      } catch (error) {
        replyLost ||= attemptsOf(error) > 1;
        if (isTaken(error)) return replyLost && (await holds(key, body)) === "same" ? "created" : "exists";
        if (isConflict(error) && attempt < 6) {
          await delay(100 * attempt);
          continue;
        }
        const failure = s3Failure(error, callOn("s3:PutObject", key, signal));
        if (failure.reason !== "store-unavailable" && failure.reason !== "interrupted") throw failure;
        const there = await holds(key, body).catch((cause: unknown) => {
          throw new Failure(failure.reason, {
            message: `${failure.message} It is not known whether the object was written.`,
            changed: "The object may have been written.",
            cause,
          });
        });
        if (there === "none") throw failure;
        return there === "same" ? "created" : "exists";
      }
    }
  };

  async function* list(prefix: string): AsyncGenerator<ListedObject> {
    const [client, s3] = await load();
    const pages = s3.paginateListObjectsV2({ client }, { Bucket: name, Prefix: prefix });
    for (;;) {
      const page = await pages.next().catch((error: unknown) => {
        throw s3Failure(error, callOn("s3:ListBucket", prefix));
      });
      if (page.done) return;
      for (const { Key, Size } of page.value.Contents ?? []) if (Key !== undefined) yield { key: Key, size: Size ?? 0 };
    }
  }

  async function* listUploads(prefix: string): AsyncGenerator<UnfinishedUpload> {
    let after: { KeyMarker: string | undefined; UploadIdMarker: string | undefined } | undefined;
    do {
      const page = await (async () => {
        try {
          const [client, s3] = await load();
          return await client.send(new s3.ListMultipartUploadsCommand({ Bucket: name, Prefix: prefix, ...after }));
        } catch (error) {
          throw s3Failure(error, callOn("s3:ListBucketMultipartUploads", prefix));
        }
      })();
      for (const { Key, UploadId } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined) yield { key: Key, uploadId: UploadId };
      }
      after = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined;
    } while (after !== undefined);
  }

  return {
    name,
    list,
    get,
    getJson: async (key) => {
      const found = await get(key);
      if (!found) return undefined;
      const text = (await collect(found.stream)).toString("utf8");
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw new SyntaxError(`${key} in bucket ${name} is not JSON`, { cause });
      }
    },
    putOnce: (key, body) => putOnce(key, typeof body === "string" ? Buffer.from(body, "utf8") : body),
    uploadOnce: async (key, source, upload) => {
      const [client] = await load();
      return uploadOnce({ client, bucket: name, putOnce }, key, source, upload);
    },
    head: async (key) => {
      try {
        const [client, s3] = await load();
        const { ContentLength } = await client.send(new s3.HeadObjectCommand({ Bucket: name, Key: key }));
        return { size: ContentLength ?? 0 };
      } catch (error) {
        if (isMissingObject(error)) return undefined;
        throw s3Failure(error, callOn("s3:GetObject", key));
      }
    },
    remove: async (key) => {
      try {
        const [client, s3] = await load();
        await client.send(new s3.DeleteObjectCommand({ Bucket: name, Key: key }));
      } catch (error) {
        throw s3Failure(error, callOn("s3:DeleteObject", key));
      }
    },
    listUploads,
    abortUpload: async ({ key, uploadId }) => {
      try {
        const [client, s3] = await load();
        await client.send(new s3.AbortMultipartUploadCommand({ Bucket: name, Key: key, UploadId: uploadId }));
      } catch (error) {
        if ((error as Error).name === "NoSuchUpload") return;
        throw s3Failure(error, callOn("s3:AbortMultipartUpload", key));
      }
    },
  };
};

const collect = async (stream: Readable): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
};
