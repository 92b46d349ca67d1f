import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { binlogEnd } from "#node/lib/mysql/binlog-end.ts";

let folder: string;
let index: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "binlogs-"));
  index = join(folder, "mysql-bin.index");
  await writeFile(join(folder, "mysql-bin.000009"), Buffer.alloc(500, 1));
  await writeFile(join(folder, "mysql-bin.000010"), Buffer.alloc(198, 1));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the end of the binlog", () => {
  it("is that of the newest file, which the index names last", async () => {
    await writeFile(index, "./mysql-bin.000009\n./mysql-bin.000010\n");
    expect(binlogEnd(index)).toEqual({ file: "mysql-bin.000010", offset: 198 });
    await appendFile(join(folder, "mysql-bin.000010"), Buffer.alloc(100));
    expect(binlogEnd(index)).toEqual({ file: "mysql-bin.000010", offset: 298 });
  });

  it("may lie in another folder than the index", async () => {
    await writeFile(index, `${join(folder, "mysql-bin.000009")}\n`);
    expect(binlogEnd(index)).toEqual({ file: "mysql-bin.000009", offset: 500 });
  });

  it("of an encrypted file is counted as replicas count it, without its header", async () => {
    await writeFile(index, "./mysql-bin.000011\n");
    await writeFile(
      join(folder, "mysql-bin.000011"),
      Buffer.concat([Buffer.from("\xfdbin", "latin1"), Buffer.alloc(1020)]),
    );
    expect(binlogEnd(index)).toEqual({ file: "mysql-bin.000011", offset: 512 });
  });

  it("is unknown where there is none, and an error where it cannot be read", async () => {
    await writeFile(index, "");
    expect(binlogEnd(index)).toBeUndefined();
    await writeFile(index, "./mysql-bin.000012\n");
    expect(() => binlogEnd(index)).toThrow("ENOENT");
  });
});
