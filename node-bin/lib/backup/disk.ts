import { chown, open, readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { humanBytes } from "./progress.ts";

/** Whose files they are. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Owner of a file or folder. */
export const ownerOf = async (path: string): Promise<Owner> => {
  const { uid, gid } = await stat(path);
  return { uid, gid };
};

/** Gives a path to an owner, where this process may: only root can give files away. */
export const giveTo = async (path: string, { uid, gid }: Owner): Promise<void> => {
  if (process.getuid?.() === 0) await chown(path, uid, gid);
};

/** Sum of the sizes of the files below a folder, bytes. `counted` gets paths relative to it. */
export const bytesBelow = async (
  folder: string,
  counted: (path: string) => boolean = () => true,
  below = "",
): Promise<number> => {
  let bytes = 0;
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = join(below, entry.name);
    if (entry.isDirectory()) bytes += await bytesBelow(folder, counted, path);
    // A running server may remove a file between the listing and the look at it.
    else if (entry.isFile() && counted(path)) bytes += (await stat(join(folder, path)).catch(() => ({ size: 0 }))).size;
  }
  return bytes;
};

/** Refuses with `disk-full` when the file system of `folder` has fewer free bytes than `needed`. */
export const demandRoom = async (folder: string, needed: number, what: string): Promise<void> => {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= needed) return;
  throw new Failure("disk-full", {
    message: `${what} needs ${humanBytes(needed)} in ${folder}, and ${humanBytes(free)} are free.`,
    changed: "Nothing was changed.",
  });
};

/** MySQL's number for a clone that its own estimate does not let begin. */
const cloneLacksRoom = 3873;

/** Whether an error or a program's message says that the disk is full. */
export const saysDiskFull = (said: unknown): boolean => {
  if (said instanceof Failure) return said.reason === "disk-full";
  const { code, errno } = (said ?? {}) as { code?: unknown; errno?: unknown };
  if (code === "ENOSPC" || errno === 1021 || errno === cloneLacksRoom) return true;
  const text = messageOf(said);
  // "Wrote only" is GNU tar's word for a write that the disk took in part.
  return /No space left on device|Wrote only \d+ of \d+ bytes|errno: 28\b|OS errno 28\b|Disk is full|disk full|Disk quota exceeded/i.test(
    text,
  );
};

/** Makes every file and folder below a folder durable. */
export const syncTree = async (folder: string): Promise<void> => {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path);
  }
  await syncPath(folder);
};

const syncPath = async (path: string): Promise<void> => {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
};
