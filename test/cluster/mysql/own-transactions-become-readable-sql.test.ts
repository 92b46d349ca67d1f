import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runProgram } from "#node/lib/host/run.ts";
import { type BinlogText, findMysqlbinlog, makeBinlogText } from "#node/lib/mysql/errant-sql.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let node: TestServer;
let uuid: string;
let indexFile: string;
let rotations: number;
let binlogs: BinlogText;

beforeAll(async () => {
  servers = await makeTestServers();
  node = await servers.add();
  await node.server.open();
  const facts = await node.server.serverFacts();
  uuid = facts.server_uuid;
  indexFile = facts.binlog_index ?? "";
  await node.sql("CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, note VARCHAR(200))");
});
afterAll(() => servers.close());
beforeEach(async () => {
  rotations = 0;
  binlogs = makeBinlogText({
    program: await findMysqlbinlog(node.program.mysqld),
    indexFile,
    run: runProgram,
    rotate: async () => {
      rotations += 1;
      await node.server.flushBinaryLogs();
    },
  });
});

const { signal } = new AbortController();
const read = (files: readonly string[], set: string): Promise<string> => text(binlogs.sql(files, set, signal));
/** Inserts a row; its GTID. */
const insert = async (id: number, note: string): Promise<string> => {
  await node.sql(`INSERT INTO shop.t VALUES (${id}, '${note}')`);
  const last = (await node.server.executedSet()).split(/[:-]/).at(-1);
  return `${uuid}:${last}`;
};

describe("a server's own transactions", () => {
  it("are readable with their rows, those before and after are not there, and only their own binlogs are read", async () => {
    await insert(1, "before");
    await node.server.flushBinaryLogs();
    await insert(2, "before, in the same file");
    const from = await insert(3, "wanted one");
    await node.server.flushBinaryLogs();
    const to = await insert(4, "SET @@SESSION.GTID_NEXT= \\'AUTOMATIC\\'\\nwanted two");
    await insert(5, "after, in the same file");
    await node.server.flushBinaryLogs();
    await insert(6, "after");
    const set = `${from}:${to.split(":")[1]}`;
    const files = await binlogs.filesWith(set);
    const all = (await readFile(indexFile, "utf8")).trimEnd().split("\n");
    expect(files.map((file) => file.slice(-6))).toEqual(all.slice(-3, -1).map((file) => file.slice(-6)));
    expect(rotations).toBe(0);
    const sql = await read(files, set);
    expect(sql).toContain("### INSERT INTO `shop`.`t`");
    for (const wanted of ["wanted one", "wanted two", from, to]) expect(sql).toContain(wanted);
    for (const other of ["before", "after"]) expect(sql).not.toContain(other);
  });

  it("in the binlog that is written to are read from a closed one, and reading them again closes no other", async () => {
    const set = await insert(10, "newest");
    const files = await binlogs.filesWith(set);
    expect(await binlogs.filesWith(set)).toEqual(files);
    expect(rotations).toBe(1);
    await insert(11, "written meanwhile");
    const sql = await read(files, set);
    expect(sql).toContain("newest");
    expect(sql).not.toContain("written meanwhile");
  });

  it("that no binlog has are not taken for saved: what is missing is named", async () => {
    const set = await insert(20, "here");
    const missing = `${uuid}:999`;
    await expect(read(await binlogs.filesWith(set), `${set}:999`)).rejects.toMatchObject({
      reason: "errant-transactions",
      message: expect.stringContaining(missing),
    });
  });

  it("that cannot be read are not taken for saved: mysqlbinlog's own words are there", async () => {
    const set = await insert(30, "in a file that is cut off");
    const [file = ""] = (await binlogs.filesWith(set)).slice(-1);
    const cut = join(node.folder, "cut.000001");
    await writeFile(cut, (await readFile(file)).subarray(0, 400));
    await expect(read([cut], set)).rejects.toMatchObject({
      reason: "errant-transactions",
      message: expect.stringContaining("mysqlbinlog"),
    });
    const listed = join(node.folder, "other.index");
    await appendFile(listed, `${join(node.folder, "gone.000001")}\n`);
    const others = makeBinlogText({
      program: await findMysqlbinlog(node.program.mysqld),
      indexFile: listed,
      run: runProgram,
      rotate: async () => {},
    });
    await expect(others.filesWith(set)).rejects.toThrow(/gone\.000001/);
    const noProgram = makeBinlogText({
      program: "/nowhere/mysqlbinlog",
      indexFile,
      run: runProgram,
      rotate: async () => {},
    });
    await expect(text(noProgram.sql([file], set, signal))).rejects.toThrow(/\/nowhere\/mysqlbinlog/);
  });
});
