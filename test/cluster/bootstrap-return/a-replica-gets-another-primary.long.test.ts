import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { contains, subtract } from "#contract/gtid.ts";
import { waitFor } from "#node/lib/host/wait.ts";
import { manifest, record } from "../../unit/node-bin/lib/cluster/samples.ts";
import { accountsOf, becomePrimary, replicate, until, untilReceived } from "../mysql/cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "../mysql/server-fixture.ts";
import { type JoiningNode, joiningNode } from "./join-fixture.ts";

let servers: TestServers;
let oldPrimary: TestServer;
let replica: TestServer;
let primary: TestServer;
let node: JoiningNode;

beforeAll(async () => {
  servers = await makeTestServers();
});
afterAll(() => servers.close());

beforeEach(async () => {
  oldPrimary = await servers.add();
  replica = await servers.add();
  primary = await servers.add();
  const ids = [replica.serverId, primary.serverId];
  await becomePrimary(oldPrimary, ids);
  await replicate(oldPrimary, replica);
  await replicate(oldPrimary, primary);
  await primary.server.open();
  await primary.server.ensureAccounts(accountsOf(ids).filter(({ replicated }) => !replicated));
  node = await joiningNode(replica, primary);
});
afterEach(() => Promise.all([oldPrimary, replica, primary].map((server) => server.stop("SIGKILL"))));

/** As of a replica that lags. */
const stopApplierOf = async (server: TestServer): Promise<void> => {
  await server.sql("STOP REPLICA SQL_THREAD");
};

/** Rows that the replica has received from the old primary, which then dies, and that it could not apply yet. */
const receiveAndLoseTheSource = async (options: { readonly alsoAtThePrimary: boolean }): Promise<string> => {
  await stopApplierOf(replica);
  const before = await oldPrimary.server.executedSet();
  for (let v = 1; v <= 3; v += 1) await oldPrimary.sql(`INSERT INTO shop.t (v) VALUES (${v})`);
  const set = await oldPrimary.server.executedSet();
  await untilReceived(replica, set);
  if (options.alsoAtThePrimary) await primary.server.waitForExecuted(set, 20_000);
  await oldPrimary.stop("SIGKILL");
  await until(replica, "the receiver to miss its source", (seen) => seen.replication?.receiver === "connecting");
  await replica.server.stopReceiver();
  expect(await replica.server.hasExecuted(set)).toBe(false);
  return subtract(set, before);
};

const rowsAt = async (server: TestServer): Promise<string | null | undefined> =>
  (await server.sql("SELECT COUNT(*) n FROM shop.t"))[0]?.n;

describe("a replica that had received more than it had applied", () => {
  it("applies it before it names the new source, which has purged it from its binlogs and could not give it again", async () => {
    const received = await receiveAndLoseTheSource({ alsoAtThePrimary: true });
    await primary.server.stopReplication();
    await primary.sql("FLUSH BINARY LOGS");
    const [log] = await primary.sql("SHOW BINARY LOG STATUS");
    await primary.sql(`PURGE BINARY LOGS TO '${log?.File}'`);
    await primary.sql("INSERT INTO shop.t (v) VALUES (4)");
    expect(await node.join()).toEqual({ joined: true });
    expect(await replica.server.hasExecuted(received)).toBe(true);
    expect(await rowsAt(replica)).toBe("4");
    expect((await replica.server.observe()).replication).toMatchObject({
      source_host: primary.address,
      receiver: "yes",
      applier: "yes",
    });
  });

  it("has transactions of its own when the new primary never had them: they are applied, saved as SQL, and it is to be restored", async () => {
    await primary.server.stopReplication();
    const received = await receiveAndLoseTheSource({ alsoAtThePrimary: false });
    const outcome = await node.join();
    expect(outcome).toMatchObject({ joined: false, needsNewerBackup: false });
    expect(outcome.joined ? "" : outcome.replace).toContain(received);
    const saved = [...node.bucket.objects.keys()];
    expect(saved.map((key) => key.replace(/.*\./, ""))).toEqual(["sql", "json"]);
    const sql = node.bucket.objects.get(saved[0] ?? "")?.toString() ?? "";
    expect(sql.match(/### INSERT INTO `shop`.`t`/g)).toHaveLength(3);
    expect(JSON.parse(node.bucket.objects.get(saved[1] ?? "")?.toString() ?? "")).toMatchObject({ gtid_set: received });
    // Asked again, for example because this node was ended before its data were set aside, it does not save them twice.
    expect(await node.join()).toEqual(outcome);
    expect(node.bucket.objects.size).toBe(2);
  });

  it("keeps its relay logs and says what is wrong when it cannot apply what only it has", async () => {
    await primary.server.stopReplication();
    // Not in the binlog, so it is not a transaction of its own; the rows that were received collide with it.
    await replica.sql("SET GLOBAL super_read_only = OFF", "SET sql_log_bin = 0", "INSERT INTO shop.t VALUES (1, 77)");
    const received = await receiveAndLoseTheSource({ alsoAtThePrimary: false });
    const attempt = node.join();
    await expect(attempt).rejects.toMatchObject({ reason: "replication-broken" });
    await expect(attempt).rejects.toThrow(received);
    const after = await replica.server.observe();
    expect(after.replication?.source_host).toBe(oldPrimary.address);
    expect(contains(after.replication?.received_gtid_set ?? "", received)).toBe(true);
    expect(node.bucket.objects.size).toBe(0);
  });

  it("lost its relay logs with a restart of its mysqld: it does not wait for them, and gets them from the new source", async () => {
    const received = await receiveAndLoseTheSource({ alsoAtThePrimary: true });
    await primary.server.stopReplication();
    await replica.stop("SIGKILL");
    await replica.start();
    expect(await node.join()).toEqual({ joined: true });
    expect(await replica.server.hasExecuted(received)).toBe(true);
  });
});

describe("a frozen replica", () => {
  const untilStep = (words: string): Promise<string> =>
    waitFor(`the step "${words}"`, async () => node.steps.find((step) => step.includes(words)), {
      everyMs: 20,
      deadlineMs: 20_000,
      lastSeen: () => node.steps.at(-1) ?? "none",
    });

  it("is given no source and starts no receiver until a fence as high as its own is recorded", async () => {
    await oldPrimary.stop("SIGKILL");
    await replica.server.stopReceiver();
    await node.agentsFence.raise(7);
    const joining = node.join();
    await untilStep("frozen");
    for (let look = 0; look < 3; look += 1) {
      expect((await replica.server.observe()).replication).toMatchObject({
        source_host: oldPrimary.address,
        receiver: "no",
      });
    }
    node.recorded = { ...node.recorded, fence: 7, rvn: "rvn-2" };
    expect(await joining).toEqual({ joined: true });
    expect((await replica.server.observe()).replication?.source_host).toBe(primary.address);
  });

  it("that was frozen while it caught up goes on when the recorded primary has a fence as high", async () => {
    const holder = await replica.connect();
    await primary.server.stopReplication();
    await primary.sql("INSERT INTO shop.t (v) VALUES (1)");
    await holder.query("LOCK TABLES shop.t READ", [], { timeoutMs: 5000 });
    const joining = node.join();
    await untilStep("catching up");
    await until(replica, "the receiver to connect", (seen) => seen.replication?.receiver === "yes");
    await node.agentsFence.raise(7);
    await replica.server.stopReceiver();
    await holder.close();
    await untilStep("frozen");
    expect((await replica.server.observe()).replication?.receiver).toBe("no");
    node.recorded = { ...node.recorded, fence: 8, rvn: "rvn-2" };
    expect(await joining).toEqual({ joined: true });
    expect((await replica.server.observe()).replication?.receiver).toBe("yes");
  });
});

describe("a replica that replicates from the primary and has a transaction of its own", () => {
  beforeEach(async () => {
    await primary.server.stopReplication();
    expect(await node.join()).toEqual({ joined: true });
    await replica.sql("SET GLOBAL super_read_only = OFF", "INSERT INTO shop.t VALUES (100, 77)");
    await replica.sql("SET GLOBAL super_read_only = ON");
    await primary.sql("INSERT INTO shop.t (v) VALUES (1)");
  });

  it("is found out, and its transaction is saved", async () => {
    expect(await node.join()).toMatchObject({ joined: false, needsNewerBackup: false });
    const [sql = ""] = node.bucket.objects.keys();
    expect(node.bucket.objects.get(sql)?.toString()).toContain("@2=77");
  });

  it("is left as it is, and goes on to replicate, when no backup can replace its data", async () => {
    const own = subtract(await replica.server.executedSet(), await primary.server.executedSet());
    node.backup = { ...manifest, gtid_set: own };
    await expect(node.join()).rejects.toMatchObject({
      reason: "errant-transactions",
      message: expect.stringContaining(manifest.time),
    });
    node.backup = undefined;
    await expect(node.join()).rejects.toMatchObject({ reason: "no-backup" });
    expect(node.bucket.objects.size).toBe(0);
    expect((await replica.server.observe()).replication).toMatchObject({ receiver: "yes", applier: "yes" });
  });

  it("is not compared with a primary that is not the recorded one", async () => {
    node.recorded = record({ ...node.recorded, server_uuid: (await oldPrimary.server.serverFacts()).server_uuid });
    const joining = node.join();
    joining.catch(() => {});
    await waitFor("the comparison", async () => node.steps.find((step) => step.includes("comparing")), {
      everyMs: 20,
      deadlineMs: 20_000,
    });
    // Another is recorded: that ends the wait.
    node.recorded = record({ ...node.recorded, instance_id: "i-00000000000000009" });
    await expect(joining).rejects.toMatchObject({ reason: "superseded" });
    expect(node.bucket.objects.size).toBe(0);
  });
});
