import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { reaches } from "#node/lib/cluster/ackers.ts";
import type { MysqlConnection } from "#node/lib/mysql/connection.ts";
import { replicate, startPrimaryAndReplica, until } from "./cluster-of-servers.ts";
import type { TestServer } from "./server-fixture.ts";

let primary: TestServer;
let replica: TestServer;
beforeAll(async () => {
  const started = await startPrimaryAndReplica();
  ({ primary, replica } = started);
  await replicate(primary, replica);
  return started.close;
});

beforeEach(async () => {
  await replica.server.startReplication();
  await replica.server.setAcknowledging(true);
  await primary.server.setSourceSemiSync({ on: true, waitCount: 1 });
  await primary.server.open();
  await until(primary, "one client that acknowledges", (seen) => seen.semi_sync?.clients === 1);
});

/** A commit that does not end before its acknowledgement. */
const commit = async (): Promise<{ connection: MysqlConnection; done: Promise<string> }> => {
  const connection = await primary.connect();
  const done = connection
    .query("INSERT INTO shop.t (v) VALUES (1)", [], { timeoutMs: 60_000 })
    .then(() => "committed")
    .catch((error: unknown) => String(error));
  return { connection, done };
};

const receiverThread = async (): Promise<string | null | undefined> =>
  (await replica.sql("SHOW PROCESSLIST")).find((row) => row.State?.startsWith("Waiting for source to send"))?.Id;

const someWait = (): Promise<unknown> =>
  until(primary, "a commit to wait", ({ semi_sync }) => (semi_sync?.waiting ?? 0) > 0);

/** Makes the replica receive without acknowledging, and waits until the primary knows. */
const stopAcknowledging = async (): Promise<void> => {
  await replica.server.setAcknowledging(false);
  await until(primary, "nobody to be counted", ({ semi_sync }) => semi_sync?.clients === 0);
};

describe("a replica that acknowledges", () => {
  it("lets a commit through, and is counted by the primary", async () => {
    const { done } = await commit();
    expect(await done).toBe("committed");
    expect((await primary.server.observe()).semi_sync).toEqual({
      source_enabled: true,
      replica_enabled: false,
      wait_count: 1,
      clients: 1,
      waiting: 0,
    });
    expect((await replica.server.observe()).semi_sync?.replica_enabled).toBe(true);
  });

  it("is left alone when it is told to again", async () => {
    const before = await receiverThread();
    expect(before).toBeDefined();
    await replica.server.setAcknowledging(true);
    expect(await receiverThread()).toBe(before);
  });

  it("is repaired when the variable was switched without restarting the receiver", async () => {
    await replica.server.setAcknowledging(false);
    await replica.sql("SET GLOBAL rpl_semi_sync_replica_enabled = ON");
    await replica.server.setAcknowledging(true);
    await until(primary, "it to be counted", (seen) => seen.semi_sync?.clients === 1);
    // Switched off by hand it still acknowledges, and says so.
    await replica.sql("SET GLOBAL rpl_semi_sync_replica_enabled = OFF");
    expect((await replica.server.observe()).semi_sync?.replica_enabled).toBe(true);
    await replica.server.setAcknowledging(false);
    expect((await replica.server.observe()).semi_sync?.replica_enabled).toBe(false);
    await until(primary, "it not to be counted", (seen) => seen.semi_sync?.clients === 0);
  });

  it("that was frozen stays frozen when it is told to stop acknowledging", async () => {
    await replica.server.stopReceiver();
    await replica.server.setAcknowledging(false);
    expect((await replica.server.observe()).replication?.receiver).toBe("no");
  });
});

describe("a replica that stops acknowledging", () => {
  it("receives on and lets commits wait, while the primary can be looked at and does not lie about it", async () => {
    await stopAcknowledging();
    const began = (await primary.server.logEnd()).executedSet;
    const commits = await Promise.all(Array.from({ length: 12 }, commit));
    await someWait();

    expect(await primary.server.executedSet()).toBe(began);
    const { end, executedSet } = await primary.server.logEnd();
    expect(executedSet).toBe(began);
    // What waits is in the binlog already, and the replica has read it.
    await until(replica, "the replica to read what waits", ({ replication }) =>
      reaches(replication?.read_position, end),
    );
    await expect(primary.server.setSourceSemiSync({ on: false })).rejects.toMatchObject({ reason: "too-few-ackers" });
    await expect(primary.server.flushBinaryLogs()).rejects.toMatchObject({ reason: "too-few-ackers" });
    expect((await primary.server.observe()).semi_sync?.source_enabled).toBe(true);

    await replica.server.setAcknowledging(true);
    await until(primary, "the acker", ({ semi_sync }) => semi_sync?.clients === 1);
    expect(await primary.server.releaseHeldCommits()).toBe(true);
    expect(await Promise.all(commits.map(({ done }) => done))).toEqual(commits.map(() => "committed"));
    const executed = await primary.server.executedSet();
    expect(await primary.server.releaseHeldCommits()).toBe(false);
    expect(await primary.server.executedSet()).toBe(executed);
  });

  it("cannot be made up for: without an acker nothing is released", async () => {
    await stopAcknowledging();
    const { done } = await commit();
    await someWait();
    await expect(primary.server.releaseHeldCommits({ timeoutMs: 1000 })).rejects.toMatchObject({ reason: "timed-out" });
    expect((await primary.server.observe()).semi_sync?.waiting).toBeGreaterThan(0);
    await replica.server.setAcknowledging(true);
    await primary.server.releaseHeldCommits();
    expect(await done).toBe("committed");
  });

  it("keeps the primary from becoming read-only; given up, the attempt takes no effect later", async () => {
    await stopAcknowledging();
    const { done } = await commit();
    await someWait();
    const began = performance.now();
    await expect(primary.server.setSuperReadOnly({ timeoutMs: 1500 })).rejects.toMatchObject({
      reason: "timed-out",
      changed: "The server is as writable as before.",
    });
    expect(performance.now() - began).toBeLessThan(4000);
    await replica.server.setAcknowledging(true);
    await primary.server.releaseHeldCommits();
    expect(await done).toBe("committed");
    const next = await commit();
    expect(await next.done).toBe("committed");
    expect(await primary.server.observe()).toMatchObject({ read_only: false, super_read_only: false });
  });

  it("does not keep the primary from being looked at while its binlog is being rotated", async () => {
    await stopAcknowledging();
    const { done } = await commit();
    await someWait();
    const rotating = await primary.connect();
    // Stuck until the commit is acknowledged, and with it whatever asks the server for the end of its binlog.
    const rotated = rotating.query("FLUSH BINARY LOGS", [], { timeoutMs: 60_000 }).catch(() => "ended");
    const looked = performance.now();
    const { end } = await primary.server.logEnd();
    expect((await primary.server.observe()).binlog_end).toEqual(end);
    expect(performance.now() - looked).toBeLessThan(1000);
    await until(replica, "the replica to read what waits", ({ replication }) =>
      reaches(replication?.read_position, end),
    );
    // Nothing can be written now, so nothing can be released: only a replica that has not received it yet could.
    await rotating.close();
    await primary.stop("SIGKILL");
    await Promise.all([rotated, done]);
    await primary.start();
    await primary.server.open();
    await until(replica, "the replica to come back", ({ replication }) => replication?.receiver === "yes");
  });
});

describe("a primary", () => {
  it("that becomes read-only refuses root too, and can then switch semi-sync off", async () => {
    await primary.server.setSuperReadOnly();
    await primary.server.setSuperReadOnly();
    const { done } = await commit();
    expect(await done).toMatch(/--super-read-only/);
    await primary.server.setSourceSemiSync({ on: false });
    await primary.server.setSourceSemiSync({ on: false });
    expect((await primary.server.observe()).semi_sync?.source_enabled).toBe(false);
  });

  it("waits as long as it takes, with no exception, for as many as it is told", async () => {
    await primary.server.setSourceSemiSync({ on: true, waitCount: 2 });
    const [row] = await primary.sql(
      "SELECT @@rpl_semi_sync_source_timeout t, @@rpl_semi_sync_source_wait_no_replica n, @@rpl_semi_sync_source_wait_point p, @@rpl_semi_sync_source_wait_for_replica_count c",
    );
    expect(row).toEqual({ t: "4294967295", n: "1", p: "AFTER_SYNC", c: "2" });
    const { done } = await commit();
    await someWait();
    await primary.server.setSourceSemiSync({ on: true, waitCount: 1 });
    expect(await done).toBe("committed");
  });
});
