import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { subtract } from "#contract/gtid.ts";
import { accountsOf, becomePrimary, replicate, until } from "../mysql/cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "../mysql/server-fixture.ts";
import { type JoiningNode, joiningNode } from "./join-fixture.ts";

let servers: TestServers;
let oldPrimary: TestServer;
let primary: TestServer;
let node: JoiningNode;

beforeAll(async () => {
  servers = await makeTestServers();
});
afterAll(() => servers.close());

beforeEach(async () => {
  oldPrimary = await servers.add();
  primary = await servers.add();
  const ids = [oldPrimary.serverId, primary.serverId];
  await becomePrimary(oldPrimary, ids);
  await replicate(oldPrimary, primary);
  // What follows is of the old primary alone: nobody receives it any more.
  await primary.server.stopReplication();
});
afterEach(() => Promise.all([oldPrimary, primary].map((server) => server.stop("SIGKILL"))));

/** The other server is recorded as primary and has writes of its own; the old primary's mysqld is started again. */
const failOver = async (): Promise<void> => {
  await oldPrimary.stop("SIGKILL");
  await primary.server.resetReplication();
  await primary.server.open();
  const ids = [oldPrimary.serverId, primary.serverId];
  await primary.server.ensureAccounts(accountsOf(ids).filter(({ replicated }) => !replicated));
  await primary.sql("INSERT INTO shop.t (v) VALUES (2)");
  await oldPrimary.start();
  node = await joiningNode(oldPrimary, primary);
};

describe("an old primary", () => {
  it("that has nothing of its own is a replica of the new one, with the data that it had", async () => {
    await failOver();
    expect(await node.join()).toEqual({ joined: true });
    expect(await oldPrimary.sql("SELECT v FROM shop.t")).toEqual([{ v: "2" }]);
    expect((await oldPrimary.server.observe()).super_read_only).toBe(true);
    expect(node.bucket.objects.size).toBe(0);
  });

  it("whose commit nobody acknowledged finds it done when it restarts: it is saved as SQL, and the data are to be replaced", async () => {
    await oldPrimary.server.setSourceSemiSync({ on: true, waitCount: 1 });
    const client = await oldPrimary.connect();
    const commit = client.query("INSERT INTO shop.t (v) VALUES (4711)", [], { timeoutMs: 60_000 });
    commit.catch(() => {});
    await until(oldPrimary, "the commit to wait", (seen) => seen.semi_sync?.waiting === 1);
    await failOver();
    await expect(commit).rejects.toThrow();

    const errant = subtract(await oldPrimary.server.executedSet(), await primary.server.executedSet());
    expect(await oldPrimary.sql("SELECT v FROM shop.t")).toEqual([{ v: "4711" }]);
    const outcome = await node.join();
    expect(outcome).toMatchObject({ joined: false, needsNewerBackup: false });
    expect(outcome.joined ? "" : outcome.replace).toContain(errant);
    const [sql = "", json = ""] = node.bucket.objects.keys();
    expect(node.bucket.objects.get(sql)?.toString()).toContain("@2=4711");
    expect(JSON.parse(node.bucket.objects.get(json)?.toString() ?? "")).toMatchObject({ gtid_set: errant });
    // It never replicated from the new primary, nor the other way.
    expect((await oldPrimary.server.observe()).replication).toBeUndefined();
    expect(await primary.sql("SELECT v FROM shop.t")).toEqual([{ v: "2" }]);
  });

  it("whose binlogs lost the transaction is still to be replaced, and the record says what is not in the SQL", async () => {
    await oldPrimary.sql("INSERT INTO shop.t (v) VALUES (4711)", "FLUSH BINARY LOGS");
    const [log] = await oldPrimary.sql("SHOW BINARY LOG STATUS");
    await oldPrimary.sql(`PURGE BINARY LOGS TO '${log?.File}'`);
    await failOver();
    const errant = subtract(await oldPrimary.server.executedSet(), await primary.server.executedSet());
    expect(await node.join()).toMatchObject({ joined: false, needsNewerBackup: false });
    const [json = "", ...others] = node.bucket.objects.keys();
    expect(others).toEqual([]);
    expect(JSON.parse(node.bucket.objects.get(json)?.toString() ?? "")).toMatchObject({
      gtid_set: errant,
      not_in_binlogs: errant,
    });
  });
});
