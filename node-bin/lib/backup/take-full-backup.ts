import type { BackupManifest, BackupObject } from "#contract/backup-manifest.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { keyTime, s3Keys } from "#contract/s3-layout.ts";
import type { Bucket } from "../aws/s3.ts";
import { saysDiskFull } from "./disk.ts";
import type { BackupEngine, PackedCopy } from "./engine.ts";
import { removeLeftovers } from "./leftovers.ts";
import { pieces } from "./pieces.ts";
import { byteProgress, type ProgressLines } from "./progress.ts";

const mib = 1024 * 1024;

/** Sizes in bytes. An object of 64 GiB in parts of 7 MiB has 9363 parts, and S3 allows 10,000. */
export const backupSizes = { object: 64 * 1024 * mib, part: 7 * mib } as const;

/** What a full backup is made of and where it goes. */
export interface FullBackupRequest {
  readonly bucket: Bucket;
  readonly engine: BackupEngine;
  readonly clusterId: string;
  readonly instanceId: string;
  readonly timeline: number;
  /** Fence of the formation that the data descend from. */
  readonly formation: number;
  /**
   * Throws, with the failure to report, when the lock or the record that this backup is taken under is not this process's any
   * more. Called before everything that others can see.
   */
  readonly assertStillHolding: () => Promise<void>;
  readonly progress: ProgressLines;
  readonly signal: AbortSignal;
  /** Wall clock; names the backup. */
  readonly now?: () => Date;
  readonly sizes?: { readonly object: number; readonly part: number };
}

/**
 * Takes a full backup and answers its manifest, which was written last: without it there is no backup. Leftovers of killed runs are removed
 * before; what this run sent is removed when it fails. Safe to run again after any failure. Errors: `disk-full`, `backup-failed`,
 * `permission-denied`, `store-unavailable`, `interrupted`, and what `assertStillHolding` throws.
 */
export const takeFullBackup = async (request: FullBackupRequest): Promise<BackupManifest> => {
  const { bucket, engine, clusterId, instanceId, assertStillHolding, progress, signal } = request;
  const { now = () => new Date(), sizes = backupSizes } = request;
  for (const time of await removeLeftovers({ bucket, clusterId, instanceId, now, assertStillHolding })) {
    progress(`removed what was left of the unfinished backup ${time}`);
  }
  const startedAt = now();
  const time = await freeTime(bucket, clusterId, startedAt);
  const version = await engine.version();
  const sent: BackupObject[] = [];
  let keyId: string | undefined;

  const send = async (copy: PackedCopy): Promise<void> => {
    const counted = byteProgress(`backup ${time}: sent`, progress);
    for await (const piece of pieces(countingBytes(copy.stream, counted.add), sizes.object)) {
      const key = s3Keys.backupData(clusterId, "full", time, sent.length + 1, engine.suffix);
      await assertStillHolding();
      const uploaded = await bucket.uploadOnce(key, piece, {
        partSize: sizes.part,
        signal,
        beforeCommit: assertStillHolding,
      });
      if (uploaded.result === "exists") throw sameSecond(key);
      sent.push({ key, size: uploaded.size, sha256: uploaded.sha256 });
      keyId = uploaded.keyId ?? keyId;
    }
    counted.end();
  };

  const publish = async (copy: PackedCopy): Promise<BackupManifest> => {
    const manifest: BackupManifest = {
      schema: 1,
      kind: "full",
      cluster_id: clusterId,
      time,
      engine: engine.name,
      engine_version: version,
      instance_id: instanceId,
      timeline: request.timeline,
      formation: request.formation,
      ...(await copy.facts()),
      ...(keyId === undefined ? {} : { key_id: keyId }),
      started_at: startedAt.toISOString(),
      finished_at: now().toISOString(),
      packing: engine.packing,
      objects: sent,
    };
    const key = s3Keys.manifest(clusterId, "full", time);
    await assertStillHolding();
    const put = await bucket.putOnce(key, `${JSON.stringify(manifest, undefined, 2)}\n`);
    if (put === "exists") throw sameSecond(key);
    return manifest;
  };

  /** Only objects that this run made: another one of the same second has its own. */
  const removeSent = async (): Promise<void> => {
    for (const { key } of sent) await bucket.remove(key);
  };

  let publishing = false;
  let copy: PackedCopy | undefined;
  try {
    copy = await engine.copy({ signal, progress: (line) => progress(`backup ${time}: ${line}`) });
    await send(copy);
    publishing = true;
    return await publish(copy);
  } catch (error) {
    const failure = asFailure(error, signal);
    // When it is not known whether the manifest was written, its objects must stay; the next backup finds out.
    const mayExist = publishing && ["store-unavailable", "interrupted"].includes(failure.reason);
    // Removing is an attempt: the next backup removes what is left.
    if (!mayExist) await removeSent().catch(() => {});
    throw failure;
  } finally {
    await copy?.discard();
  }
};

/** The second in which the backup begins, or the next one whose place in the bucket is empty. */
const freeTime = async (bucket: Bucket, clusterId: string, from: Date): Promise<string> => {
  for (let seconds = 0; ; seconds += 1) {
    const time = keyTime(new Date(from.getTime() + seconds * 1000));
    const { done } = await bucket
      .list(s3Keys.backup(clusterId, "full", time))
      [Symbol.asyncIterator]()
      .next();
    if (done) return time;
  }
};

const asFailure = (error: unknown, signal: AbortSignal): Failure => {
  if (error instanceof Failure) return error;
  const cause = error;
  const said = messageOf(error);
  if (saysDiskFull(error)) return new Failure("disk-full", { message: `The backup ended: ${said}.`, cause });
  if (signal.aborted) return new Failure("interrupted", { message: "The backup was stopped.", cause });
  return new Failure("backup-failed", { message: `The backup ended: ${said}.`, cause });
};

const sameSecond = (key: string): Failure =>
  new Failure("backup-failed", {
    message: `${key} is there already: another backup was begun in the same second, or this one was given up by the holder of the lock.`,
    changed: "The other backup was left as it is; what this one had sent was removed.",
  });

async function* countingBytes(
  source: AsyncIterable<Uint8Array>,
  add: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    add(chunk.byteLength);
  }
}
