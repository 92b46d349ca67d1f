import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { makeBucket } from "#node/lib/aws/s3.ts";
import { makeCatalog } from "#node/lib/backup/catalog.ts";
import { cloneEngine } from "#node/lib/backup/clone-engine.ts";
import { restoreFull } from "#node/lib/backup/restore.ts";
import { takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { cloneSourceOf, startServer, type TestServer, until } from "./mysql-fixture.ts";
import { type S3Server, startS3 } from "./s3-fixture.ts";

const clusterId = "demo";
let folder: string;
let s3: S3Server;
const servers: TestServer[] = [];
let made = 0;

const started = async (name: string, id: number): Promise<TestServer> => {
  const server = await startServer(folder, name, id);
  servers.push(server);
  return server;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "backup-test-"));
  s3 = await startS3(folder);
});

afterAll(async () => {
  for (const server of servers) await server.stop();
  await s3?.close();
  await rm(folder, { recursive: true, force: true });
});

const backUp = (server: TestServer): Promise<BackupManifest> =>
  takeFullBackup({
    bucket: makeBucket(s3.aws, s3.bucket),
    engine: cloneEngine({
      source: cloneSourceOf(server),
      program: { mysqld: server.mysqld, defaultsFile: server.defaultsFile, osUser: "root" },
      datadir: server.datadir,
      workDir: `${server.datadir}.backup`,
    }),
    clusterId,
    instanceId: "i-0123456789abcdef0",
    timeline: 1,
    formation: 3,
    assertStillHolding: async () => {},
    progress: (line) => console.log(line),
    signal: AbortSignal.timeout(120_000),
  });

const restoreAndStart = async (manifest: BackupManifest, name: string, id: number): Promise<TestServer> => {
  const began = performance.now();
  await restoreFull({
    bucket: makeBucket(s3.aws, s3.bucket),
    manifest,
    intoDir: join(folder, name),
    signal: AbortSignal.timeout(120_000),
    progress: (line) => console.log(line),
  });
  console.log(`restored in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  expect(await readdir(join(folder, name))).not.toContain("auto.cnf");
  return started(name, id);
};

const replicate = async (replica: TestServer, source: TestServer): Promise<void> => {
  const connection = await replica.connect();
  // A copy of a replica brings that replica's settings.
  await connection.query("RESET REPLICA ALL");
  await connection.query(
    "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=?, SOURCE_USER='repl', SOURCE_PASSWORD='secret', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
    [source.port],
  );
  await connection.query("START REPLICA");
  connection.destroy();
};

const executed = (server: TestServer): Promise<string> =>
  server.value("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')");

const subtract = (server: TestServer, a: string, b: string): Promise<string> =>
  server.value(`SELECT GTID_SUBTRACT('${a}', '${b}')`);

/** Clients that insert, update and delete in tables of their own and in one that they share, and one that alters tables. */
const startWriting = async (server: TestServer): Promise<{ stop(): Promise<number> }> => {
  let going = true;
  let commits = 0;
  const writer = async (n: number): Promise<void> => {
    const connection = await server.connect();
    for (let i = 0; going; i += 1) {
      await connection.query(`INSERT INTO app.own_${n} (s) VALUES (REPEAT('x', 300))`);
      await connection.query("UPDATE app.shared SET n = n + 1 WHERE id = ?", [i % 10]);
      if (i % 5 === 0) await connection.query(`DELETE FROM app.own_${n} ORDER BY id LIMIT 2`);
      commits += 2;
    }
    connection.destroy();
  };
  const altering = async (): Promise<void> => {
    const connection = await server.connect();
    for (let i = 0; going; i += 1) {
      made += 1;
      await connection.query(`CREATE TABLE app.made_${made} (id INT PRIMARY KEY)`);
      if (i >= 3) await connection.query(`DROP TABLE app.made_${made - 3}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    connection.destroy();
  };
  const all = Promise.all([writer(0), writer(1), writer(2), writer(3), altering()]);
  await until("the first commits", async () => commits > 200);
  return {
    stop: async () => {
      going = false;
      await all;
      return commits;
    },
  };
};

/** All tables with their checksums, in an order. */
const contents = async (server: TestServer): Promise<unknown[]> => {
  const connection = await server.connect();
  try {
    const [tables] = await connection.query({ sql: "SHOW TABLES IN app", rowsAsArray: true });
    const names = (tables as string[][]).map(([name]) => `app.${name}`);
    const [sums] = await connection.query({ sql: `CHECKSUM TABLE ${names.join(", ")}`, rowsAsArray: true });
    return sums as unknown[];
  } finally {
    connection.destroy();
  }
};

const caughtUp = async (replica: TestServer, source: TestServer): Promise<void> => {
  const wanted = await executed(source);
  await until("the replica to hold everything", async () => {
    const connection = await replica.connect();
    const [rows] = await connection.query("SHOW REPLICA STATUS");
    connection.destroy();
    const status = (rows as Record<string, unknown>[])[0];
    expect(`${status?.Last_IO_Error}${status?.Last_SQL_Error}`).toBe("");
    return (await subtract(replica, wanted, await executed(replica))) === "";
  });
};

describe("a backup that is taken while clients write", () => {
  let source: TestServer;
  let replica: TestServer;

  beforeAll(async () => {
    source = await started("source", 1);
    const connection = await source.connect();
    for (const sql of [
      "SET GLOBAL super_read_only = OFF",
      "SET GLOBAL read_only = OFF",
      "CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'secret'",
      "GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'",
      "CREATE DATABASE app",
      "CREATE TABLE app.shared (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0)",
      "INSERT INTO app.shared (id) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)",
      ...[0, 1, 2, 3].map((n) => `CREATE TABLE app.own_${n} (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(300))`),
    ]) {
      await connection.query(sql);
    }
    connection.destroy();
  });

  it.each([1, 2])("restores to exactly its GTID set and replicates from there, round %i", async (round) => {
    const writing = await startWriting(source);
    const before = await executed(source);
    const manifest = await backUp(source);
    const after = await executed(source);
    // Neither of the two would have been right: this is what makes the test one.
    expect(await subtract(source, manifest.gtid_set, before)).not.toBe("");
    expect(await subtract(source, after, manifest.gtid_set)).not.toBe("");
    expect(await subtract(source, before, manifest.gtid_set)).toBe("");

    const restored = await restoreAndStart(manifest, `restored-${round}`, 10 + round);
    expect(await executed(restored)).toBe(manifest.gtid_set);
    expect(await restored.value("SELECT REPLACE(@@GLOBAL.gtid_purged, '\\n', '')")).toBe(manifest.gtid_set);
    expect(await restored.value("SELECT @@GLOBAL.server_uuid")).not.toBe(manifest.server_uuid);
    await replicate(restored, source);
    await writing.stop();
    await caughtUp(restored, source);
    expect(await executed(restored)).toBe(await executed(source));
    expect(await contents(restored)).toEqual(await contents(source));
    if (round < 2) await restored.stop();
    else replica = restored;
  });

  it("may be taken from a replica whose appliers work in parallel", async () => {
    const writing = await startWriting(source);
    const before = await executed(replica);
    const manifest = await backUp(replica);
    const after = await executed(replica);
    expect(await subtract(source, manifest.gtid_set, before)).not.toBe("");
    expect(await subtract(source, after, manifest.gtid_set)).not.toBe("");
    const restored = await restoreAndStart(manifest, "restored-from-replica", 20);
    expect(await executed(restored)).toBe(manifest.gtid_set);
    await replicate(restored, source);
    await writing.stop();
    await caughtUp(restored, source);
    expect(await contents(restored)).toEqual(await contents(source));
  });

  it("leaves nothing on the node and is in the catalog", async () => {
    expect(await readdir(`${source.datadir}.backup`)).toEqual([]);
    const catalog = makeCatalog(makeBucket(s3.aws, s3.bucket), clusterId, (sentence) => {
      throw new Error(sentence);
    });
    const times: string[] = [];
    for await (const { time } of catalog.manifests("full")) times.push(time);
    expect(times).toHaveLength(3);
    expect(times).toEqual(times.toSorted().reverse());
    expect((await catalog.newestFull({ formation: 3 }))?.time).toBe(times[0]);
    expect(await catalog.newestFull({ formation: 4 })).toBeUndefined();
    expect(await catalog.clusterHasData()).toBe(true);
  });
});
