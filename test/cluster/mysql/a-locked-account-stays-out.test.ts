import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { becomePrimary, replicate, until } from "./cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let primary: TestServer;
let refused: TestServer;
let other: TestServer;
beforeAll(async () => {
  servers = await makeTestServers();
  primary = await servers.add();
  refused = await servers.add();
  other = await servers.add();
  await becomePrimary(primary, [2, 3]);
  await replicate(primary, refused);
  await replicate(primary, other);
});
afterAll(() => servers.close());

describe("a replica whose account is locked on the primary", () => {
  it("is cut off at once, stays out, and goes on by itself after the unlock", async () => {
    const before = await primary.server.executedSet();
    await primary.server.lockAccount("repl_2");
    await primary.server.killDumpThreadsOf("repl_2");
    const sessions = await primary.sql("SHOW PROCESSLIST");
    expect(sessions.filter(({ User }) => User === "repl_2")).toEqual([]);
    expect(sessions.filter(({ User }) => User === "repl_3")).toHaveLength(1);
    expect(await primary.server.lockedAccounts()).toEqual(["repl_2"]);
    expect(await primary.server.executedSet()).toBe(before);

    await primary.sql("INSERT INTO shop.t (v) VALUES (1)");
    const written = await primary.server.executedSet();
    await other.server.waitForExecuted(written, 10_000);
    const seen = await until(refused, "the refusal", ({ replication }) => replication?.receiver_errno === 3118);
    expect(seen.replication).toMatchObject({ receiver: "connecting", applier: "yes" });
    expect(await refused.server.hasExecuted(written)).toBe(false);

    await primary.server.unlockAccount("repl_2");
    expect(await primary.server.lockedAccounts()).toEqual([]);
    await refused.server.waitForExecuted(written, 10_000);
  });

  it("does not hinder others: locking is not in the binlog", async () => {
    await primary.server.lockAccount("repl_3");
    const [row] = await refused.sql(
      "SELECT COUNT(*) n FROM mysql.user WHERE account_locked = 'Y' AND User LIKE 'repl%'",
    );
    expect(row?.n).toBe("0");
    await primary.server.unlockAccount("repl_3");
  });

  it("may be one that does not exist", async () => {
    await primary.server.lockAccount("repl_99");
    await primary.server.killDumpThreadsOf("repl_99");
    expect(await primary.server.lockedAccounts()).toEqual([]);
  });
});
