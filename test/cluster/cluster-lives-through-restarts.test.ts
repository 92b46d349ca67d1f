import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { units } from "#contract/names.ts";
import { roleTagValue, tags } from "#contract/tags.ts";
import { waitCountFor } from "#contract/topology.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { printJournalsOnFailure, roles, startTestLab, value, writableNodes } from "./lab-fixture.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await lab.sql("write", "CREATE TABLE app.written (id INT PRIMARY KEY, note VARCHAR(100))");
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab));

/** Waits until a replica has what the primary has executed. */
const caughtUp = async (name: string): Promise<void> => {
  const set = await value(lab, (await roles(lab)).primary.name, "SELECT @@global.gtid_executed");
  await lab.waitUntil(
    `${name} has ${set}`,
    async () => {
      const answer = await value(
        lab,
        name,
        `SELECT GTID_SUBSET('${set.replaceAll(/\s/g, "")}', @@global.gtid_executed)`,
      );
      return answer === "1" || answer;
    },
    30_000,
  );
};

/** Takes a full backup on a node, as its timer would. */
const backUp = async (name: string): Promise<{ time: string }> => {
  const run = await lab.machine(name).machine.run({
    script: ['"$PERCONA_ACTIONS_BIN/operation" backup'],
    environment: {},
    timeoutMs: 60_000,
    signal: AbortSignal.timeout(60_000),
  });
  expect(run.exitCode, run.stderr).toBe(0);
  return JSON.parse(run.stdout) as { time: string };
};

describe("three nodes that started at once", () => {
  it("are one cluster with one writable node, which the record names", async () => {
    const { record, primary, replicas } = await roles(lab);
    expect(record).toMatchObject({ phase: "serving", timeline: 1, wait_count: waitCountFor(3) });
    expect(await writableNodes(lab)).toEqual([primary.name]);
    expect(record.ackers.map((a) => a.instance_id).sort()).toEqual(replicas.map((r) => r.instanceId).sort());
  });

  it("have server ids and server uuids of their own, and say their own address", async () => {
    const nodes = await lab.nodes();
    for (const column of ["@@server_id", "@@server_uuid"]) {
      const values = await Promise.all(nodes.map((n) => value(lab, n.name, `SELECT ${column}`)));
      expect(new Set(values).size).toBe(3);
    }
    for (const node of nodes) expect(await value(lab, node.name, "SELECT @@report_host")).toBe(node.address);
  });

  it("are tagged and registered by their roles, and the primary is protected from scale-in", async () => {
    const { primary, replicas } = await roles(lab);
    await lab.waitUntil(
      "the tags say the roles",
      () => {
        const seen = Object.fromEntries(lab.cloud.instances().map((i) => [i.instanceId, i.tags[tags.role]]));
        const right =
          seen[primary.instanceId] === roleTagValue.primary &&
          replicas.every((r) => seen[r.instanceId] === roleTagValue.replica);
        return right || { seen };
      },
      20_000,
    );
    await lab.sql("write", "INSERT INTO app.written VALUES (1, 'through the balancer')");
    for (const replica of replicas) await caughtUp(replica.name);
    // A replica answers what the read port gives, never the primary.
    const readers = new Set<string>();
    for (let i = 0; i < 12; i += 1) readers.add(await value(lab, "read", "SELECT @@report_host"));
    expect([...readers].every((host) => replicas.some((r) => r.address === host))).toBe(true);
    expect(await value(lab, "read", "SELECT note FROM app.written WHERE id = 1")).toBe("through the balancer");
    expect(await value(lab, "write", "SELECT @@report_host")).toBe(primary.address);
  });

  it("keep no password in a process list or a journal", async () => {
    const secrets = Object.values(lab.cluster.credentials).filter((secret) => secret !== undefined);
    for (const node of await lab.nodes()) {
      const words = Object.values(await lab.logs(node.name)).join("\n");
      const argv = await Promise.all(
        lab
          .machine(node.name)
          .machine.processes()
          .map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
      );
      for (const secret of secrets) expect(`${words}\n${argv.join("\n")}`).not.toContain(secret);
    }
  });
});

describe("restarts", () => {
  it("a replica's mysqld is killed: it comes back read-only, replicates, and acknowledges in its new incarnation", async () => {
    const [replica] = (await roles(lab)).replicas;
    const name = replica?.name ?? "";
    const before = (await lab.status(name)).mysql.incarnation;
    await lab.machine(name).killProcess("mysqld");
    await lab.waitUntil(
      `mysqld of ${name} answers again`,
      async () => {
        const { mysql } = await lab.status(name);
        return (mysql.up && mysql.incarnation !== before) || { seen: mysql };
      },
      30_000,
    );
    expect(await writableNodes(lab)).toEqual([(await roles(lab)).primary.name]);
    await lab.sql("write", "INSERT INTO app.written VALUES (2, 'after a replica restarted')");
    await caughtUp(name);
    await lab.waitUntil(
      `${name} is listed in its new incarnation`,
      async () => {
        const { record, mysql } = await lab.status(name);
        return (record?.listed && mysql.semi_sync?.replica_enabled) || { seen: { record, semi_sync: mysql.semi_sync } };
      },
      30_000,
    );
  });

  it("the primary's mysqld is killed and is back within a second: it reopens under a new fence, and nothing acknowledged is gone", async () => {
    const before = await roles(lab);
    await lab.sql("write", "INSERT INTO app.written VALUES (3, 'before the primary restarted')");
    await lab.machine(before.primary.name).killProcess("mysqld");
    await lab.waitUntil(
      "the primary is open under a higher fence",
      async () => {
        const { record } = await roles(lab);
        return (record.fence > before.record.fence && (await writableNodes(lab)).length === 1) || { seen: record };
      },
      60_000,
    );
    await lab.waitHealthy();
    const after = await roles(lab);
    expect(await writableNodes(lab)).toEqual([after.primary.name]);
    expect(await value(lab, "write", "SELECT COUNT(*) FROM app.written")).toBe("3");
  });

  it("all nodes lose power together: the same primary reopens under a new fence, and a node's data directory is the one it had", async () => {
    const before = await roles(lab);
    const nodes = await lab.nodes();
    const uuids = new Map<string, string>();
    for (const node of nodes) uuids.set(node.name, await value(lab, node.name, "SELECT @@server_uuid"));
    await lab.sql("write", "INSERT INTO app.written VALUES (4, 'before the power cut')");
    await Promise.all(nodes.map((node) => lab.machine(node.name).kill()));
    await Promise.all(nodes.map((node) => lab.machine(node.name).start()));
    await lab.waitUntil(
      "the recorded primary has taken a new fence",
      async () => {
        const { record } = await roles(lab);
        return record.fence > before.record.fence || { seen: record };
      },
      60_000,
    );
    await lab.waitHealthy();
    const after = await roles(lab);
    expect(after.record.instance_id).toBe(before.record.instance_id);
    expect(after.record.timeline).toBe(before.record.timeline);
    expect(await writableNodes(lab)).toEqual([after.primary.name]);
    for (const node of nodes) expect(await value(lab, node.name, "SELECT @@server_uuid")).toBe(uuids.get(node.name));
    await lab.sql("write", "INSERT INTO app.written VALUES (5, 'after the power cut')");
    for (const replica of after.replicas) {
      await caughtUp(replica.name);
      expect(await value(lab, replica.name, "SELECT COUNT(*) FROM app.written")).toBe("5");
    }
  });
});

describe("a terminated node", () => {
  it("is replaced, and the replacement reads its data from S3 and from the primary only by replication", async () => {
    const { primary, replicas } = await roles(lab);
    // The backup holds more than the first one, and what it holds is purged from the primary afterwards: without the
    // backup's own set the replacement would ask for transactions that nobody has any more.
    const manifest = await backUp(replicas[0]?.name ?? "");
    await lab.sql(primary.name, "FLUSH BINARY LOGS");
    const log = await lab.sql(primary.name, "SHOW BINARY LOG STATUS");
    const file = "rows" in log ? String(log.rows[0]?.File) : "";
    await lab.sql(primary.name, `PURGE BINARY LOGS TO '${file}'`);
    await lab.sql("write", "INSERT INTO app.written VALUES (6, 'after the purge')");
    expect(await value(lab, primary.name, "SELECT @@global.gtid_purged")).not.toBe("");
    await lab.sql(primary.name, "SET GLOBAL log_output = 'TABLE'");
    await lab.sql(primary.name, "SET GLOBAL general_log = ON");

    const leaving = replicas[1]?.instanceId ?? "";
    await lab.terminate(leaving);
    let newcomer: LabNode | undefined;
    await lab.waitUntil(
      "a third node is there again, and it is another one",
      async () => {
        const nodes = await lab.nodes();
        newcomer = nodes.find((n) => n.instanceId !== primary.instanceId && n.instanceId !== replicas[0]?.instanceId);
        return (nodes.length === 3 && newcomer?.instanceId !== leaving) || { seen: nodes.map((n) => n.instanceId) };
      },
      60_000,
    );
    await lab.waitHealthy();
    const node = await lab.node(newcomer?.instanceId ?? "");
    const journal = (await lab.logs(node.name))[units.bootstrap] ?? "";
    expect(journal).toContain(`restoring the backup of ${manifest.time}`);
    await caughtUp(node.name);
    expect(await value(lab, node.name, "SELECT COUNT(*) FROM app.written")).toBe("6");
    // Who came to the primary from the newcomer's address, whatever for.
    const visitors = await lab.sql(
      primary.name,
      `SELECT DISTINCT REGEXP_SUBSTR(user_host, '[A-Za-z0-9_]+') visitor FROM mysql.general_log WHERE user_host LIKE '%[${node.address}]%'`,
    );
    expect("rows" in visitors ? visitors.rows.map((row) => String(row.visitor)) : []).toEqual([
      expect.stringMatching(/^repl_\d+$/),
    ]);
    // The one that left may no longer acknowledge.
    await lab.waitUntil(
      "the terminated node is off the list of ackers",
      async () => {
        const { record } = await roles(lab);
        return !record.ackers.some((acker) => acker.instance_id === leaving) || { seen: record.ackers };
      },
      60_000,
    );
  });
});
