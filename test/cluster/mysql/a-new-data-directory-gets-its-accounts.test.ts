import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isEmpty } from "#contract/gtid.ts";
import { initialiseDataDirectory, withPrivateServer } from "#node/lib/mysql/initialise.ts";
import { accountsOf, credentials, network } from "./cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let node: TestServer;
let whilePrivate: string;
let executed: string;
let scratch: string;
beforeAll(async () => {
  servers = await makeTestServers();
  scratch = await mkdtemp(join(tmpdir(), "pa-scratch-"));
  node = await servers.add({ empty: true });
  await mkdir(node.datadir);
  const options = { ...node.program, datadir: node.datadir };
  await initialiseDataDirectory(options);
  await withPrivateServer(options, async (server) => {
    await server.ensureAccounts(accountsOf([1]));
    executed = await server.executedSet();
    whilePrivate = await server.observe().then((seen) => `${seen.read_only} ${seen.super_read_only}`);
  });
  await node.start();
});
afterAll(async () => {
  await servers.close();
  await rm(scratch, { recursive: true, force: true });
});

const users = async (): Promise<string[]> =>
  (await node.sql("SELECT CONCAT(User, '@', Host) u FROM mysql.user WHERE User NOT LIKE 'mysql.%'"))
    .map((r) => r.u ?? "")
    .sort();

describe("a new data directory", () => {
  it("has the cluster's accounts and no others", async () => {
    expect(await users()).toEqual(
      accountsOf([1])
        .map(({ user, host }) => `${user}@${host}`)
        .sort(),
    );
  });

  it("was writable only while it was private", async () => {
    expect(whilePrivate).toBe("false false");
    expect(await node.server.observe()).toMatchObject({ read_only: true, super_read_only: true });
  });

  it("begins its history with the accounts that all nodes share", async () => {
    expect(isEmpty(executed)).toBe(false);
    const seen = await node.server.observe();
    expect(seen.gtid_executed).toBe(executed);
    expect(executed.startsWith(`${seen.server_uuid}:1-`)).toBe(true);
  });

  it("does not have the accounts of one node in its binlog", async () => {
    const events = await node.sql("SHOW BINLOG EVENTS IN 'mysql-bin.000002'");
    const statements = events.map(({ Info }) => Info ?? "").join("\n");
    expect(statements).toContain("monitor");
    expect(statements).not.toMatch(/repl_1|auth_socket/);
    for (const password of Object.values(credentials)) expect(statements).not.toContain(password);
  });

  it("lets root in by the socket without a password, and over loopback with it", async () => {
    const [who] = await node.sql("SELECT CURRENT_USER() u");
    expect(who?.u).toBe("root@localhost");
    await expect(node.connect({ host: node.address, password: "wrong-password" })).rejects.toMatchObject({
      reason: "credentials-refused",
    });
  });

  it("lets each account in with its password, to do what it needs and no more", async () => {
    const as = (user: string, password: string | undefined) =>
      node.connect({ user, password: password ?? "", host: node.address });
    const bounds = { timeoutMs: 5000 };
    const replica = await as("repl_1", credentials.replication);
    await expect(replica.query("SELECT * FROM mysql.user", [], bounds)).rejects.toMatchObject({ errno: 1142 });
    const monitor = await as("monitor", credentials.monitor);
    expect(await monitor.query("SHOW REPLICA STATUS", [], bounds)).toEqual([]);
    await expect(monitor.query("SET GLOBAL read_only = OFF", [], bounds)).rejects.toMatchObject({ errno: 1227 });
    const orchestrator = await as("orchestrator", credentials.orchestrator);
    await orchestrator.query("SHOW REPLICA STATUS", [], bounds);
    // It looks, and changes nothing: a replica that is frozen stays so.
    for (const change of ["SET GLOBAL super_read_only = ON", "START REPLICA", "STOP REPLICA"]) {
      await expect(orchestrator.query(change, [], bounds)).rejects.toMatchObject({ errno: 1227 });
    }
    await expect(orchestrator.query("SELECT * FROM mysql.user", [], bounds)).rejects.toMatchObject({ errno: 1142 });
    const probe = await as("probe", credentials.monitor);
    expect(await probe.query("SHOW DATABASES LIKE 'percona_actions'", [], bounds)).toHaveLength(1);
    await expect(probe.query("SELECT * FROM mysql.user", [], bounds)).rejects.toMatchObject({ errno: 1142 });
    const shop = await as("shop", credentials.app);
    expect(await shop.query("SHOW DATABASES LIKE 'shop'", [], bounds)).toHaveLength(1);
    await expect(shop.query("SELECT * FROM mysql.user", [], bounds)).rejects.toMatchObject({ errno: 1142 });
    const backup = await node.connect({ user: "backup", password: credentials.backup });
    await backup.query("LOCK INSTANCE FOR BACKUP", [], bounds);
    await backup.query("UNLOCK INSTANCE", [], bounds);
    await backup.query("SELECT * FROM performance_schema.log_status", [], bounds);
  });

  it("is what the option file says where it says nothing: row format, and every plugin", async () => {
    const [row] = await node.sql(
      "SELECT @@binlog_format f, @@log_replica_updates l, @@rpl_semi_sync_source_wait_point p",
    );
    expect(row).toEqual({ f: "ROW", l: "1", p: "AFTER_SYNC" });
    expect(await node.errorLog()).not.toMatch(/\[ERROR\]/);
  });
});

describe("accounts that are asked for again", () => {
  it("write nothing when they are complete", async () => {
    await node.server.open();
    await node.server.ensureAccounts(accountsOf([1]));
    expect(await node.server.executedSet()).toBe(executed);
  });

  it("are finished when a crash left them half made, and lose what they should not have", async () => {
    await node.sql(
      `DROP USER 'monitor'@'${network}', 'repl_1'@'${network}'`,
      `CREATE USER 'monitor'@'${network}' IDENTIFIED BY 'another-password'`,
      `GRANT INSERT ON *.* TO 'monitor'@'${network}' WITH GRANT OPTION`,
      `CREATE USER 'repl_1'@'${network}' IDENTIFIED BY 'another-password' ACCOUNT LOCK`,
    );
    expect(await node.server.accountUsers()).not.toContain("repl_1");
    await node.server.ensureAccounts(accountsOf([1]));
    expect(await node.server.accountUsers()).toContain("repl_1");
    const monitor = await node.connect({ user: "monitor", password: credentials.monitor, host: node.address });
    const grants = await monitor.query("SHOW GRANTS", [], { timeoutMs: 5000 });
    expect(grants.map((row) => Object.values(row)[0])).toEqual([
      `GRANT PROCESS, REPLICATION CLIENT ON *.* TO \`monitor\`@\`${network}\``,
      `GRANT SELECT ON \`performance_schema\`.* TO \`monitor\`@\`${network}\``,
    ]);
    await node.connect({ user: "repl_1", password: credentials.replication, host: node.address });
  });

  it("get another node's replication account without a transaction that could wait for an acknowledgement", async () => {
    const before = await node.server.executedSet();
    await node.server.setSourceSemiSync({ on: true, waitCount: 1 });
    await node.server.ensureAccounts(accountsOf([1, 2]));
    expect(await node.server.executedSet()).toBe(before);
    await node.connect({ user: "repl_2", password: credentials.replication, host: node.address });
    await node.server.setSourceSemiSync({ on: false });
  });
});

describe("initialising that cannot work", () => {
  it("in a folder that is not empty says so, and leaves what is there", async () => {
    const datadir = join(scratch, "full");
    await mkdir(datadir);
    await writeFile(join(datadir, "precious"), "data");
    await expect(initialiseDataDirectory({ ...node.program, datadir })).rejects.toThrow(/has files in it/);
    expect(await readdir(datadir)).toEqual(["precious"]);
  });

  it("without mysqld names the path", async () => {
    const datadir = join(scratch, "none");
    await mkdir(datadir);
    const mysqld = join(scratch, "no-mysqld");
    await expect(initialiseDataDirectory({ ...node.program, datadir, mysqld })).rejects.toMatchObject({
      reason: "bad-input",
      message: expect.stringContaining(mysqld),
    });
  });
});

describe("a private mysqld", () => {
  it("ends when its work fails, and cannot be reached over the network meanwhile", async () => {
    const datadir = join(scratch, "private");
    await mkdir(datadir);
    await initialiseDataDirectory({ ...node.program, datadir });
    let pid = 0;
    await expect(
      withPrivateServer({ ...node.program, datadir }, async (server) => {
        const facts = await server.serverFacts();
        const seen = await server.observe();
        expect(seen.super_read_only).toBe(false);
        pid = Number(await readFile(facts.pid_file, "utf8"));
        expect(() => process.kill(pid, 0)).not.toThrow();
        throw new Error("the work failed");
      }),
    ).rejects.toThrow("the work failed");
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  it("that does not start says why", async () => {
    const datadir = join(scratch, "empty");
    await mkdir(datadir);
    await expect(withPrivateServer({ ...node.program, datadir }, async () => {})).rejects.toThrow(/ended with .*ERROR/);
  });
});
