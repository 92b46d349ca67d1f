import * as v from "valibot";
import { AbandonedBackup } from "#contract/backup-manifest.ts";
import { manifestTime, parseKeyTime, s3Keys } from "#contract/s3-layout.ts";
import type { Bucket, UnfinishedUpload } from "../aws/s3.ts";

interface Leftover {
  /** Key of the manifest, or of the mark in its place. */
  manifest?: string;
  readonly objects: string[];
  readonly uploads: UnfinishedUpload[];
}

/** What removes leftovers, and on whose behalf. */
export interface LeftoverRemoval {
  readonly bucket: Bucket;
  readonly clusterId: string;
  readonly instanceId: string;
  readonly now: () => Date;
  /** Throws when the backup lock is not held any more. */
  readonly assertStillHolding: () => Promise<void>;
}

/**
 * Removes the objects and unfinished uploads of full backups that have no manifest, which were begun by processes that are gone. The caller holds
 * the backup lock. A mark goes to the place of the manifest first, so that a process which is only slow cannot complete a
 * backup whose objects are gone. Answers the times of the removed ones.
 */
export const removeLeftovers = async (removal: LeftoverRemoval): Promise<string[]> => {
  const { bucket, clusterId, instanceId, now, assertStillHolding } = removal;
  const prefix = s3Keys.backups(clusterId, "full");
  const found = new Map<string, Leftover>();
  const at = (key: string): Leftover | undefined => {
    const time = key.slice(prefix.length).split("/")[0] ?? "";
    if (!parseKeyTime(time)) return undefined;
    const leftover = found.get(time) ?? { objects: [], uploads: [] };
    found.set(time, leftover);
    return leftover;
  };
  for await (const { key } of bucket.list(prefix)) {
    const leftover = at(key);
    if (!leftover) continue;
    if (manifestTime(clusterId, "full", key)) leftover.manifest = key;
    else leftover.objects.push(key);
  }
  for await (const upload of bucket.listUploads(prefix)) at(upload.key)?.uploads.push(upload);

  const mark = async (time: string): Promise<void> => {
    const abandoned: AbandonedBackup = {
      schema: 1,
      abandoned: true,
      cluster_id: clusterId,
      time,
      abandoned_at: now().toISOString(),
      instance_id: instanceId,
    };
    await assertStillHolding();
    await bucket.putOnce(s3Keys.manifest(clusterId, "full", time), `${JSON.stringify(abandoned, undefined, 2)}\n`);
  };

  const removed: string[] = [];
  for (const [time, { manifest, objects, uploads }] of found) {
    if (objects.length + uploads.length === 0) continue;
    if (manifest === undefined) await mark(time);
    // A mark with objects is a removal that was interrupted; after a conditional put that lost, it is a backup after all.
    if (!(await isMark(bucket, s3Keys.manifest(clusterId, "full", time)))) continue;
    for (const key of objects) {
      await assertStillHolding();
      await bucket.remove(key);
    }
    for (const upload of uploads) {
      await assertStillHolding();
      await bucket.abortUpload(upload);
    }
    removed.push(time);
  }
  return removed;
};

const isMark = async (bucket: Bucket, key: string): Promise<boolean> =>
  v.is(
    AbandonedBackup,
    await bucket.getJson(key).catch((error: unknown) => {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }),
  );
