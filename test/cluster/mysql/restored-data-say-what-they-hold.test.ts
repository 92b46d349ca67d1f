import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contains, isEmpty, subtract } from "#contract/gtid.ts";
import { waitFor } from "#node/lib/host/wait.ts";
import { becomePrimary, replicate } from "./cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let primary: TestServer;
let restored: TestServer;
let atClone: string;
beforeAll(async () => {
  servers = await makeTestServers();
  primary = await servers.add();
  restored = await servers.add({ empty: true });
  await becomePrimary(primary, [2]);
  await primary.sql("INSERT INTO shop.t (v) VALUES (1), (2), (3)");
  atClone = await primary.server.executedSet();
  const clone = join(primary.folder, "clone");
  await primary.server.cloneLocal(clone, new AbortController().signal);
  await primary.sql("INSERT INTO shop.t (v) VALUES (4)");
  await rename(clone, restored.datadir);
  await rm(join(restored.datadir, "auto.cnf"), { force: true });
  await restored.start();
});
afterAll(() => servers.close());

describe("a clone of a running primary", () => {
  it("starts read-only, as another server, with what was committed when it was made", async () => {
    const seen = await restored.server.observe();
    expect(seen).toMatchObject({ read_only: true, super_read_only: true });
    expect(seen.server_uuid).not.toBe((await primary.server.observe()).server_uuid);
    expect(contains(seen.gtid_executed, atClone)).toBe(true);
    expect(seen.replication).toBeUndefined();
  });

  it("is not told that it holds less than it does", async () => {
    const before = await restored.server.executedSet();
    const [uuid = ""] = before.split(":");
    await expect(restored.server.setGtidPurged(`${uuid}:1-2`)).rejects.toMatchObject({
      reason: "errant-transactions",
      message: expect.stringContaining(subtract(before, `${uuid}:1-2`)),
    });
    expect(await restored.server.executedSet()).toBe(before);
  });

  it("is told what its backup holds while it is read-only; again changes nothing", async () => {
    await restored.server.setGtidPurged(atClone);
    const seen = await restored.server.observe();
    expect(seen.gtid_executed).toBe(atClone);
    expect(seen.gtid_purged).toBe(atClone);
    const file = seen.binlog_end?.file;
    await restored.server.flushBinaryLogs();
    await restored.server.setGtidPurged(atClone);
    // Resetting the binlogs would have begun at the first file again.
    expect((await restored.server.observe()).binlog_end?.file).not.toBe(file);
  });

  it("repeats the setting when a crash came between forgetting the old set and saying the new", async () => {
    await restored.sql("RESET BINARY LOGS AND GTIDS");
    expect(isEmpty(await restored.server.executedSet())).toBe(true);
    await restored.server.setGtidPurged(atClone);
    expect(await restored.server.executedSet()).toBe(atClone);
  });

  it("replicates from there, and is not told anything while it does", async () => {
    await replicate(primary, restored);
    const [row] = await restored.sql("SELECT COUNT(*) n FROM shop.t");
    expect(row?.n).toBe("4");
    const more = `${await restored.server.executedSet()},ffffffff-0000-0000-0000-000000000001:1`;
    await expect(restored.server.setGtidPurged(more)).rejects.toMatchObject({ reason: "replication-broken" });
  });
});

describe("a clone that is not wanted any more", () => {
  it("ends when it is told to, and the server goes on", async () => {
    const dir = join(primary.folder, "unwanted");
    await primary.sql(
      "CREATE TABLE shop.big (b LONGBLOB)",
      "INSERT INTO shop.big SELECT REPEAT('x', 1000000) FROM information_schema.COLUMNS LIMIT 100",
    );
    const stop = new AbortController();
    const clone = primary.server.cloneLocal(dir, stop.signal);
    const begun = waitFor("the clone to begin", async () => existsSync(join(dir, "mysql")) || undefined, {
      everyMs: 1,
      deadlineMs: 10_000,
    });
    void begun.then(() => stop.abort());
    await expect(clone).rejects.toMatchObject({ reason: "interrupted" });
    await rm(dir, { recursive: true });
    await primary.server.cloneLocal(dir, new AbortController().signal);
    expect(existsSync(join(dir, "shop/big.ibd"))).toBe(true);
  });

  it("is not begun", async () => {
    const dir = join(primary.folder, "never");
    await expect(primary.server.cloneLocal(dir, AbortSignal.abort())).rejects.toThrow();
    expect(existsSync(dir)).toBe(false);
  });

  it("into a folder that is there fails and says why", async () => {
    await expect(primary.server.cloneLocal(primary.datadir, new AbortController().signal)).rejects.toThrow(/exists/);
  });
});
