import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { accountsOf, becomePrimary, replicate, sourceOf, until, untilReceived } from "./cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let oldSource: TestServer;
let replica: TestServer;
let newSource: TestServer;

beforeAll(async () => {
  servers = await makeTestServers();
});
afterAll(() => servers.close());

beforeEach(async () => {
  oldSource = await servers.add();
  replica = await servers.add();
  newSource = await servers.add();
  const ids = [replica.serverId, newSource.serverId];
  await becomePrimary(oldSource, ids);
  // The new source lets the replica in as the old one did.
  await newSource.server.open();
  await replicate(oldSource, replica);
  await replicate(oldSource, newSource);
  await newSource.server.ensureAccounts(accountsOf(ids).filter(({ replicated }) => !replicated));
  await newSource.server.stopReplication();
});
afterEach(() => Promise.all([oldSource, replica, newSource].map((server) => server.stop("SIGKILL"))));

/** Five transactions that the replica has received and cannot apply yet. */
const receivedNotApplied = async (): Promise<{ set: string; release: () => Promise<void> }> => {
  const holder = await replica.connect();
  await holder.query("LOCK TABLES shop.t READ", [], { timeoutMs: 5000 });
  for (let i = 1; i <= 5; i++) await oldSource.sql(`INSERT INTO shop.t (v) VALUES (${i})`);
  const set = await oldSource.server.executedSet();
  await untilReceived(replica, set);
  return { set, release: () => holder.close() };
};

const rows = async (): Promise<string | null | undefined> => (await replica.sql("SELECT COUNT(*) n FROM shop.t"))[0]?.n;

describe("a replica whose source is gone", () => {
  it("applies all it had received when its source is changed with the applier running, in the same incarnation", async () => {
    const { set, release } = await receivedNotApplied();
    await replica.server.stopReceiver();
    await oldSource.stop("SIGKILL");
    const before = await replica.server.observe();
    expect(await replica.server.hasExecuted(set)).toBe(false);

    await replica.server.changeSourceKeepingRelayLogs(sourceOf(newSource, replica));
    await replica.server.startReceiver();
    await until(replica, "the receiver to connect", (seen) => seen.replication?.receiver === "yes");
    await release();
    await replica.server.waitForExecuted(set, 10_000);

    expect(await rows()).toBe("5");
    const after = await replica.server.observe();
    expect(after.incarnation).toBe(before.incarnation);
    expect(after.replication).toMatchObject({ source_host: newSource.address, auto_position: true, applier: "yes" });
  });

  it("is not given another source while the applier is stopped, and keeps everything", async () => {
    const { set, release } = await receivedNotApplied();
    await replica.server.stopReceiver();
    await oldSource.stop("SIGKILL");
    await release();
    await replica.server.waitForExecuted(set, 10_000);
    await replica.server.stopReplication();
    await expect(replica.server.changeSourceKeepingRelayLogs(sourceOf(newSource, replica))).rejects.toMatchObject({
      reason: "replication-broken",
      changed: "Nothing was changed.",
    });
    expect((await replica.server.observe()).replication?.source_host).toBe(oldSource.address);
  });

  it("is a new incarnation when its relay logs are thrown away, by another source or by none", async () => {
    const seen = new Set([(await replica.server.observe()).incarnation]);
    await replica.server.stopReplication();
    await replica.server.configureSource(sourceOf(newSource, replica));
    seen.add((await replica.server.observe()).incarnation);
    await replica.server.resetReplication();
    const reset = await replica.server.observe();
    seen.add(reset.incarnation);
    expect(seen.size).toBe(3);
    expect(reset.replication).toBeUndefined();
  });
});
