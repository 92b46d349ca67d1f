import { closeSync, openSync, readFileSync, readSync, type Stats, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import type { BinlogPosition } from "#contract/agent-api.ts";

/** First bytes of an encrypted binlog; its positions begin after a header of this length, bytes. */
const encrypted = { magic: Buffer.from([0xfd, 0x62, 0x69, 0x6e]), headerLength: 512 } as const;

const beginsEncrypted = (path: string): boolean => {
  const file = openSync(path, "r");
  try {
    const begin = Buffer.alloc(encrypted.magic.length);
    readSync(file, begin, { position: 0 });
    return begin.equals(encrypted.magic);
  } finally {
    closeSync(file);
  }
};

/** The file that was looked into last. */
let lookedInto = { file: "", encrypted: false };

/** Whether a binlog is encrypted. Each file is read once: reading may wait for whoever is writing to it, asking for its size does not. */
const isEncrypted = (path: string, { ino, birthtimeMs, size }: Stats): boolean => {
  const file = `${path} ${ino} ${birthtimeMs}`;
  if (lookedInto.file === file) return lookedInto.encrypted;
  const encryptedNow = beginsEncrypted(path);
  if (size >= encrypted.magic.length) lookedInto = { file, encrypted: encryptedNow };
  return encryptedNow;
};

/**
 * The end of a server's own binlog, from its files: `indexFile` lists them, the newest last. The statement for it waits
 * while the server rotates its binlog, and a rotation waits for every commit that waits for an acknowledgement; just then the end
 * has to be known. It may be a little ahead of what replicas can read already, never behind. Without the help of other threads, because
 * every look at the server asks for it and the system has all of this in memory. Errors: those of the file system.
 */
export const binlogEnd = (indexFile: string): BinlogPosition | undefined => {
  const newest = readFileSync(indexFile, "utf8").trimEnd().split("\n").at(-1);
  if (!newest) return undefined;
  const path = isAbsolute(newest) ? newest : join(dirname(indexFile), newest);
  const found = statSync(path);
  const offset = isEncrypted(path, found) ? Math.max(0, found.size - encrypted.headerLength) : found.size;
  return { file: basename(path), offset };
};
