import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { credentials, network, sourceOf, startPrimaryAndReplica, until } from "./cluster-of-servers.ts";
import type { TestServer } from "./server-fixture.ts";

let primary: TestServer;
let replica: TestServer;
beforeAll(async () => {
  const started = await startPrimaryAndReplica();
  ({ primary, replica } = started);
  return started.close;
});

beforeEach(async () => {
  await replica.server.stopReplication();
  await replica.server.resetReplication();
});

const connected = (): Promise<unknown> =>
  until(replica, "the receiver to connect", ({ replication }) => replication?.receiver === "yes");

describe("a replica", () => {
  it("connects without TLS although the source has never seen its password, from its own address", async () => {
    // Forgets the passwords that were seen.
    await primary.sql("FLUSH PRIVILEGES");
    await replica.server.configureSource(sourceOf(primary, replica));
    await replica.server.startReplication();
    await connected();
    const [dump] = (await primary.sql("SHOW PROCESSLIST")).filter(({ User }) => User === "repl_2");
    expect(dump?.Host).toMatch(new RegExp(`^${replica.address}:`));
    const [status] = await replica.sql("SHOW REPLICA STATUS");
    expect(status).toMatchObject({ Connect_Retry: "1", Source_Retry_Count: "1000000000", Auto_Position: "1" });
    const [heartbeat] = await replica.sql("SELECT Heartbeat h FROM mysql.slave_master_info");
    expect(Number(heartbeat?.h)).toBe(0.5);
  });

  it("is let in over TLS where the source wants that, and not without", async () => {
    await primary.sql("SET sql_log_bin = 0", `ALTER USER 'repl_2'@'${network}' REQUIRE SSL`);
    await replica.server.configureSource(sourceOf(primary, replica, false));
    await replica.server.startReplication();
    await until(replica, "the refusal", ({ replication }) => replication?.receiver_errno === 1045);
    await replica.server.stopReplication();
    await replica.server.configureSource(sourceOf(primary, replica, true));
    await replica.server.startReplication();
    await connected();
    await primary.sql("SET sql_log_bin = 0", `ALTER USER 'repl_2'@'${network}' REQUIRE NONE`);
  });

  it("says so when its password is refused, and goes on trying", async () => {
    await replica.server.configureSource({ ...sourceOf(primary, replica), password: "another-password" });
    await replica.server.startReplication();
    const seen = await until(replica, "the refusal", ({ replication }) => replication?.receiver_errno === 1045);
    expect(seen.replication).toMatchObject({
      receiver: "connecting",
      receiver_error: expect.stringContaining("repl_2"),
    });
    expect(JSON.stringify(seen)).not.toContain("another-password");
  });

  it("is not given another source while it replicates, and the error does not hold the password", async () => {
    await replica.server.configureSource(sourceOf(primary, replica));
    await replica.server.startReplication();
    await connected();
    const refused = await replica.server.configureSource(sourceOf(primary, replica)).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
    const all = JSON.stringify(refused, Object.getOwnPropertyNames(refused));
    expect(all).toContain("CHANGE REPLICATION SOURCE");
    expect(all).not.toContain("ication\\");
    expect(all).not.toContain(credentials.replication.slice(6));
    expect(await replica.errorLog()).not.toContain(credentials.replication);
  });

  it("may be stopped, and reset, when it is no replica at all", async () => {
    await replica.server.stopReplication();
    await replica.server.resetReplication();
    expect((await replica.server.observe()).replication).toBeUndefined();
    await expect(replica.server.startReplication()).rejects.toMatchObject({ errno: 1200 });
  });

  it("applies alone what it has received", async () => {
    await replica.server.configureSource(sourceOf(primary, replica));
    await replica.server.startReceiver();
    await connected();
    await primary.sql("INSERT INTO shop.t (v) VALUES (1)");
    const set = await primary.server.executedSet();
    await until(replica, "it to be received", ({ replication }) => replication?.received_gtid_set !== "");
    await replica.server.stopReceiver();
    expect(await replica.server.hasExecuted(set)).toBe(false);
    await expect(replica.server.waitForExecuted(set, 200)).rejects.toMatchObject({
      reason: "timed-out",
      message: expect.stringContaining(`${(await primary.server.serverFacts()).server_uuid}:`),
    });
    await replica.server.startReplication({ applierOnly: true });
    await replica.server.waitForExecuted((await replica.server.observe()).replication?.received_gtid_set ?? "", 10_000);
    expect((await replica.server.observe()).replication).toMatchObject({ receiver: "no", applier: "yes" });
  });
});
