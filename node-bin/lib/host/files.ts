import { readFileSync } from "node:fs";
import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException | undefined)?.code === "ENOENT";

/** The file's text; undefined when there is no such file. */
export const readIfThere = async (path: string): Promise<string | undefined> =>
  readFile(path, "utf8").catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });

/**
 * The same at once, for a file of a few lines that is looked at all the time: the system has it in memory, and having another thread
 * fetch it costs twenty times as much.
 */
export const readSmallIfThere = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
};

/** The folder's entries; undefined when there is no such folder. */
export const listIfThere = async (path: string): Promise<string[] | undefined> =>
  readdir(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });

/** Writes a file so that a reader, also after a power cut, finds either the old text or the new one. */
export const writeDurably = async (path: string, text: string, mode = 0o600): Promise<void> => {
  const beside = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(beside, "w", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
};

/** Makes renames in a folder durable. */
export const syncDirectory = async (path: string): Promise<void> => {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};
