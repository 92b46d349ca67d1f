import { readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { GetObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ErrantRecord } from "#contract/errant-record.ts";
import { subtract } from "#contract/gtid.ts";
import { units } from "#contract/names.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { connect, loginFor } from "#lab/sql.ts";
import { printJournalsOnFailure, roles, startTestLab, value, waitForFailure, writableNodes } from "../lab-fixture.ts";

let lab: Lab;
let s3: S3Client;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  s3 = new S3Client({ ...lab.aws(), forcePathStyle: true });
  await lab.sql("write", "CREATE TABLE app.written (id INT PRIMARY KEY, note VARCHAR(100))");
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab));

const setOf = async (name: string): Promise<string> =>
  (await value(lab, name, "SELECT @@global.gtid_executed")).replaceAll(/\s/g, "");

/** Commits a row on a replica's own mysqld, past its agent; the GTID. */
const commitPastTheAgent = async (node: LabNode, note: string): Promise<string> => {
  const { machine } = lab.machine(node.name);
  await machine.systemctl("stop", units.agent);
  const connection = await connect(loginFor(lab.cluster, { socket: node.mysqlSocket }));
  try {
    await connection.query("SET GLOBAL super_read_only = OFF");
    await connection.query("INSERT INTO app.written VALUES (1000, ?)", [note]);
    await connection.query("SET GLOBAL super_read_only = ON");
  } finally {
    connection.destroy();
  }
  await machine.systemctl("start", units.agent);
  return subtract(await setOf(node.name), await setOf((await roles(lab)).primary.name));
};

const keysOf = async (node: LabNode): Promise<string[]> => {
  const prefix = s3Keys.errantOf(lab.clusterId, node.instanceId);
  const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: lab.cluster.bucket, Prefix: prefix }));
  return (Contents ?? []).map(({ Key }) => Key ?? "");
};

const textOf = async (key: string): Promise<string> => {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: lab.cluster.bucket, Key: key }));
  return (await Body?.transformToString()) ?? "";
};

const setAsideOf = async (node: LabNode): Promise<string[]> => {
  const { datadir } = lab.machine(node.name).machine.layout;
  const beside = await readdir(dirname(datadir));
  return beside.filter((name) => name.startsWith(`${basename(datadir)}.set-aside-`));
};

/** The node is a replica like the others, on data without the row. */
const expectReseeded = async (node: LabNode, uuidBefore: string, errant: string): Promise<void> => {
  await lab.waitUntil(
    `${node.name} has another data directory`,
    async () => (await value(lab, node.name, "SELECT @@server_uuid")) !== uuidBefore || "the same",
    60_000,
  );
  await lab.waitHealthy();
  // Healthy is who has received everything; the row is only known to be absent when it is applied.
  const all = await setOf((await roles(lab)).primary.name);
  expect(await value(lab, node.name, `SELECT WAIT_FOR_EXECUTED_GTID_SET('${all}', 60)`)).toBe("0");
  expect(await value(lab, node.name, `SELECT GTID_SUBTRACT('${errant}', @@global.gtid_executed)`)).toBe(errant);
  expect(await value(lab, node.name, "SELECT COUNT(*) FROM app.written WHERE id = 1000")).toBe("0");
  expect(await writableNodes(lab)).toEqual([(await roles(lab)).primary.name]);
};

describe("a node with a transaction that the primary does not have", () => {
  it("has it saved as SQL that a person can read, is restored from the backup, joins, and its old data lie beside", async () => {
    const { record, replicas } = await roles(lab);
    const node = replicas[0] as LabNode;
    const uuid = await value(lab, node.name, "SELECT @@server_uuid");
    await lab.sql("write", "INSERT INTO app.written VALUES (1, 'of everybody')");
    const errant = await commitPastTheAgent(node, "of one node alone");
    expect(errant).toMatch(new RegExp(`^${uuid}:\\d+$`));
    await lab.machine(node.name).machine.systemctl("restart", "--no-block", units.bootstrap);
    await expectReseeded(node, uuid, errant);

    const keys = await keysOf(node);
    expect(keys.map((key) => key.replace(/.*\./, "")).sort()).toEqual(["json", "sql"]);
    const [recordKey = "", sqlKey = ""] = keys;
    const sql = await textOf(sqlKey);
    expect(sql).toContain("### INSERT INTO `app`.`written`");
    expect(sql).toContain("of one node alone");
    expect(sql).toContain(errant);
    expect(sql).not.toContain("of everybody");
    expect(v.parse(ErrantRecord, JSON.parse(await textOf(recordKey)))).toMatchObject({
      gtid_set: errant,
      server_uuid: uuid,
      instance_id: node.instanceId,
      sql: { key: sqlKey, size: Buffer.byteLength(sql) },
      primary: { instance_id: record.instance_id, fence: record.fence },
    });
    const aside = await setAsideOf(node);
    expect(aside).toHaveLength(1);
    expect((await lab.logs(node.name))[units.bootstrap]).toMatch(new RegExp(`B, was moved to .*${aside[0]}`));
  });

  it("keeps everything as it is while the bucket refuses, says so, and goes on when the bucket answers", async () => {
    const node = (await roles(lab)).replicas[1] as LabNode;
    const uuid = await value(lab, node.name, "SELECT @@server_uuid");
    const allow = lab.faults.add({
      match: { principal: node.instanceId, service: "s3", operation: "PutObject" },
      effect: { kind: "deny" },
    });
    const errant = await commitPastTheAgent(node, "of another node alone");
    await lab.machine(node.name).machine.systemctl("restart", "--no-block", units.bootstrap);
    const words = await waitForFailure(lab, node.name, "errant-transactions");
    for (const said of [errant, lab.cluster.bucket, "permission-denied"]) expect(words).toContain(said);
    expect(await setAsideOf(node)).toEqual([]);
    expect(await keysOf(node)).toEqual([]);
    expect(await value(lab, node.name, "SELECT note FROM app.written WHERE id = 1000")).toBe("of another node alone");
    expect(await value(lab, node.name, "SELECT @@server_uuid")).toBe(uuid);
    // It is no worse a replica than before: what clients write goes on.
    await lab.sql("write", "INSERT INTO app.written VALUES (2, 'meanwhile')");

    allow();
    await expectReseeded(node, uuid, errant);
    expect(await keysOf(node)).toHaveLength(2);
    expect(await setAsideOf(node)).toHaveLength(1);
  });
});
