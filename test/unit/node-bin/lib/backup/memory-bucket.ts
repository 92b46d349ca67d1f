import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { Bucket, UnfinishedUpload } from "#node/lib/aws/s3.ts";

/** A bucket in memory, with a record of every call that changes something. */
export interface MemoryBucket extends Bucket {
  readonly objects: Map<string, Buffer>;
  readonly uploads: UnfinishedUpload[];
  /** For example `put demo/full/…/manifest.json`. */
  readonly changes: string[];
}

export const memoryBucket = (): MemoryBucket => {
  const objects = new Map<string, Buffer>();
  const uploads: UnfinishedUpload[] = [];
  const changes: string[] = [];
  const putOnce: Bucket["putOnce"] = async (key, body) => {
    changes.push(`put ${key}`);
    if (objects.has(key)) return "exists";
    objects.set(key, Buffer.from(body));
    return "created";
  };
  return {
    name: "memory",
    objects,
    uploads,
    changes,
    list: async function* (prefix) {
      for (const [key, body] of [...objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (key.startsWith(prefix)) yield { key, size: body.length };
      }
    },
    get: async (key) => {
      const body = objects.get(key);
      return body && { stream: Readable.from([body]), size: body.length };
    },
    getJson: async (key) => {
      const body = objects.get(key);
      return body && (JSON.parse(body.toString()) as unknown);
    },
    putOnce,
    uploadOnce: async (key, source, { beforeCommit }) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) chunks.push(chunk);
      await beforeCommit?.();
      const body = Buffer.concat(chunks);
      const result = await putOnce(key, body);
      if (result === "exists") return { result };
      return { result, size: body.length, sha256: createHash("sha256").update(body).digest("hex") };
    },
    head: async (key) => {
      const body = objects.get(key);
      return body && { size: body.length };
    },
    remove: async (key) => {
      changes.push(`remove ${key}`);
      objects.delete(key);
    },
    listUploads: async function* (prefix) {
      for (const upload of [...uploads]) if (upload.key.startsWith(prefix)) yield upload;
    },
    abortUpload: async ({ key, uploadId }) => {
      changes.push(`abort ${key}`);
      uploads.splice(
        uploads.findIndex((upload) => upload.uploadId === uploadId),
        1,
      );
    },
  };
};
