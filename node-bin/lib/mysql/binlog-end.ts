import { open, readFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import type { BinlogPosition } from "#contract/agent-api.ts";

/** First bytes of an encrypted binlog; its positions begin after a header of this length, bytes. */
const encrypted = { magic: Buffer.from([0xfd, 0x62, 0x69, 0x6e]), headerLength: 512 } as const;

/**
 * The end of a server's own binlog, from its files: `indexFile` lists them, the newest last. The statement for it waits
 * while the server rotates its binlog, and a rotation waits for every commit that waits for an acknowledgement; just then the end
 * has to be known. It may be a little ahead of what replicas can read already, never behind. Errors: those of the file system.
 */
export const binlogEnd = async (indexFile: string): Promise<BinlogPosition | undefined> => {
  const newest = (await readFile(indexFile, "utf8")).trimEnd().split("\n").at(-1);
  if (!newest) return undefined;
  const path = isAbsolute(newest) ? newest : join(dirname(indexFile), newest);
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const { buffer } = await file.read({ buffer: Buffer.alloc(encrypted.magic.length), position: 0 });
    const offset = buffer.equals(encrypted.magic) ? Math.max(0, size - encrypted.headerLength) : size;
    return { file: basename(path), offset };
  } finally {
    await file.close();
  }
};
