import { createHash } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BackupManifest, BackupObject } from "#contract/backup-manifest.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import type { Bucket } from "../aws/s3.ts";
import { demandRoom, giveTo, type Owner, saysDiskFull, syncTree } from "./disk.ts";
import { byteProgress, type ProgressLines } from "./progress.ts";
import { type Unpacking, unpackInto } from "./tar.ts";

/** What is restored, and to where. */
export interface RestoreRequest {
  readonly bucket: Bucket;
  readonly manifest: BackupManifest;
  /** A folder beside the final place, absent or empty. It is removed when the restore fails. */
  readonly intoDir: string;
  /** Owner of the files, where this process is root; its own otherwise. */
  readonly owner?: Owner;
  readonly signal: AbortSignal;
  readonly progress: ProgressLines;
}

const isCorrupt = (message: string, cause?: unknown): Failure => new Failure("backup-corrupt", { message, cause });

/**
 * Restores a full backup of the clone engine: every object in order through a check of size and SHA-256, zstd and tar, a few MB in memory.
 * When it returns, the folder is complete and durable, without the identity of the server that it was copied from. Errors:
 * `backup-corrupt` naming the object, `disk-full`, `store-unavailable`, `permission-denied`, `interrupted`; the folder is gone then.
 */
export const restoreFull = async (request: RestoreRequest): Promise<void> => {
  const { manifest, intoDir, owner, signal } = request;
  if (manifest.kind !== "full" || manifest.packing !== "tar+zstd") {
    throw new Failure("version-not-allowed", {
      message: `Backup ${manifest.time} is ${manifest.kind} and packed as ${manifest.packing}; a full one packed as tar+zstd was expected.`,
    });
  }
  await mkdir(intoDir, { recursive: true, mode: 0o750 });
  if ((await readdir(intoDir)).length > 0) {
    throw new Failure("foreign-data", { message: `${intoDir} is not empty; a restore needs an empty folder.` });
  }
  try {
    await demandRoom(intoDir, manifest.data_bytes, `Restoring backup ${manifest.time}`);
    if (owner) await giveTo(intoDir, owner);
    await unpackObjects(request);
    // Two servers with one uuid throw each other out.
    await rm(join(intoDir, "auto.cnf"), { force: true });
    await syncTree(intoDir);
  } catch (error) {
    await rm(intoDir, { recursive: true, force: true });
    if (error instanceof Failure) throw error;
    const said = messageOf(error);
    if (signal.aborted) throw new Failure("interrupted", { message: "The restore was stopped.", cause: error });
    if (saysDiskFull(error)) throw new Failure("disk-full", { message: `The restore ended: ${said}.`, cause: error });
    throw error;
  }
};

const unpackObjects = async ({ bucket, manifest, intoDir, owner, signal, progress }: RestoreRequest): Promise<void> => {
  const total = manifest.objects.reduce((sum, { size }) => sum + size, 0);
  const counted = byteProgress(`restore of ${manifest.time}: read`, progress, total);
  const unpacking = unpackInto(intoDir, process.getuid?.() === 0 ? owner : undefined);
  try {
    for (const object of manifest.objects) await unpackObject(bucket, object, unpacking, signal, counted.add);
    await unpacking.end();
    counted.end();
  } catch (error) {
    await unpacking.abort();
    throw unpackFailure(error, manifest, signal);
  }
};

const unpackFailure = (error: unknown, manifest: BackupManifest, signal: AbortSignal): unknown => {
  if (error instanceof Failure || saysDiskFull(error) || signal.aborted) return error;
  const said = messageOf(error);
  return isCorrupt(
    `The objects of backup ${manifest.time} are as its manifest says, but they do not unpack: ${said}.`,
    error,
  );
};

/** Checks and unpacks one object. Bytes that do not unpack are read to the end all the same, to say which object is wrong. */
const unpackObject = async (
  bucket: Bucket,
  { key, size, sha256 }: BackupObject,
  unpacking: Unpacking,
  signal: AbortSignal,
  add: (bytes: number) => void,
): Promise<void> => {
  const found = await bucket.get(key, { signal });
  if (!found) throw isCorrupt(`${key} in bucket ${bucket.name} is missing; ${size} bytes were expected.`);
  if (found.size !== size) {
    found.stream.destroy();
    throw isCorrupt(`${key} in bucket ${bucket.name} has ${found.size} bytes; ${size} were expected.`);
  }
  const hash = createHash("sha256");
  let broken: unknown;
  for await (const chunk of found.stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    add(chunk.byteLength);
    if (broken !== undefined) continue;
    try {
      await unpacking.write(chunk);
    } catch (error) {
      if (saysDiskFull(error)) throw error;
      broken = error;
    }
  }
  const seen = hash.digest("hex");
  if (seen !== sha256) {
    throw isCorrupt(`${key} in bucket ${bucket.name} has SHA-256 ${seen}; ${sha256} was expected.`, broken);
  }
  if (broken !== undefined) throw broken;
};
