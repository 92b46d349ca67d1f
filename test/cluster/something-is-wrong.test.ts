import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { CreateTableCommand, DeleteTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { PutSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { units } from "#contract/names.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import { hashKey } from "#contract/table.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { markerName } from "#node/lib/cluster/data-directory.ts";
import { endLab, printJournalsOnFailure, roles, startTestLab, value, waitForFailure } from "./lab-fixture.ts";

const run = promisify(execFile);

describe("a cluster that cannot form yet", () => {
  let lab: Lab | undefined;
  afterEach((context) => endLab(lab, context, 30));

  it("a bucket without permission, then no table at all: each is named, nothing is left half, and it forms when both are there", async () => {
    const running = await startTestLab();
    lab = running;
    running.faults.add({ match: { service: "s3" }, effect: { kind: "deny" } });
    for (const node of await running.nodes()) {
      expect(await waitForFailure(running, node.name, "permission-denied")).toContain(running.cluster.bucket);
    }
    const dynamodb = new DynamoDBClient(running.aws());
    await dynamodb.send(new DeleteTableCommand({ TableName: running.cluster.tableName }));
    for (const node of await running.nodes()) {
      expect(await waitForFailure(running, node.name, "table-missing")).toContain(running.cluster.tableName);
    }
    for (const node of await running.nodes()) {
      expect(await readdir(dirname(running.machine(node.name).machine.layout.datadir))).toEqual([]);
    }
    running.faults.clear();
    await dynamodb.send(
      new CreateTableCommand({
        TableName: running.cluster.tableName,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [{ AttributeName: hashKey, AttributeType: "S" }],
        KeySchema: [{ AttributeName: hashKey, KeyType: "HASH" }],
      }),
    );
    await running.waitHealthy();
  });
});

describe("a node of a healthy cluster", () => {
  let lab: Lab;
  let replica: LabNode;
  beforeAll(async () => {
    lab = await startTestLab();
    await lab.waitHealthy();
    replica = (await roles(lab)).replicas[0] as LabNode;
  });
  afterAll(() => lab?.down());
  beforeEach(() => printJournalsOnFailure(() => lab));

  /** The balancer gives the node to nobody, and the rest of the cluster works. */
  const expectOutOfTheTargetGroups = async (): Promise<void> => {
    await lab.waitUntil(
      `${replica.name} is out of the target groups`,
      async () => {
        const seen = (await lab.overview()).nodes.find((node) => node.name === replica.name);
        return (seen?.writeTarget === "out" && seen.readTarget === "out") || { seen };
      },
      30_000,
    );
    expect(await value(lab, "write", "SELECT 1")).toBe("1");
  };

  it("gets a wrong password from the secret: MySQL's refusal is named, its data stay, and it joins when the secret is right", async () => {
    const { credentials, secretArn } = lab.cluster;
    const secrets = new SecretsManagerClient(lab.aws());
    const put = (replication: string) =>
      secrets.send(
        new PutSecretValueCommand({
          SecretId: secretArn,
          SecretString: JSON.stringify({ ...credentials, replication }),
        }),
      );
    const uuid = await value(lab, replica.name, "SELECT @@server_uuid");
    await lab.machine(replica.name).kill();
    await put("not-the-password-of-the-account");
    await lab.machine(replica.name).start();
    expect(await waitForFailure(lab, replica.name, "credentials-refused")).not.toContain("not-the-password");
    await expectOutOfTheTargetGroups();
    await put(credentials.replication);
    await lab.waitHealthy();
    expect(await value(lab, replica.name, "SELECT @@server_uuid")).toBe(uuid);
  });

  it("finds a secret without a key: the key is named, and it starts when the key is there", async () => {
    const { credentials, secretArn } = lab.cluster;
    const secrets = new SecretsManagerClient(lab.aws());
    await lab.machine(replica.name).kill();
    const { replication: _left, ...rest } = credentials;
    await secrets.send(new PutSecretValueCommand({ SecretId: secretArn, SecretString: JSON.stringify(rest) }));
    await lab.machine(replica.name).start();
    expect(await waitForFailure(lab, replica.name, "credentials-missing")).toContain("replication");
    await expectOutOfTheTargetGroups();
    await secrets.send(new PutSecretValueCommand({ SecretId: secretArn, SecretString: JSON.stringify(credentials) }));
    await lab.waitHealthy();
  });

  it("has a data directory that is not ours: it is left alone, adopted when a person says so, and replaced by a restore when it is moved away", async () => {
    const { machine } = lab.machine(replica.name);
    const { datadir } = machine.layout;
    const uuid = await value(lab, replica.name, "SELECT @@server_uuid");
    const forgetThatItIsOurs = async (): Promise<void> => {
      await machine.kill();
      await run("mv", [join(datadir, markerName), join(datadir, "kept.json")]);
      await machine.boot();
      await waitForFailure(lab, replica.name, "foreign-data");
    };
    await forgetThatItIsOurs();
    await expectOutOfTheTargetGroups();
    expect(await readdir(datadir)).toContain("ibdata1");

    await machine.systemctl("stop", units.bootstrap);
    const adopted = await machine.run({
      script: ['"$PERCONA_ACTIONS_BIN/bootstrap" --adopt'],
      environment: {},
      timeoutMs: 90_000,
      signal: AbortSignal.timeout(90_000),
    });
    expect(adopted.exitCode, adopted.stderr).toBe(0);
    await lab.waitHealthy();
    expect(await value(lab, replica.name, "SELECT @@server_uuid")).toBe(uuid);

    await forgetThatItIsOurs();
    await machine.kill();
    await run("mv", [datadir, `${datadir}.moved`]);
    await machine.boot();
    await lab.waitHealthy();
    expect(await readdir(`${datadir}.moved`)).toContain("kept.json");
    expect(await value(lab, replica.name, "SELECT @@server_uuid")).not.toBe(uuid);
  });

  it("restores a backup whose object was cut short: the object is named, nothing is put into place, and it restores when the object is whole", async () => {
    const s3 = new S3Client({ ...lab.aws(), forcePathStyle: true });
    const { bucket, clusterId } = lab.cluster;
    const time = (await lab.overview()).lastBackup?.time ?? "";
    const text = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: s3Keys.manifest(clusterId, "full", time) }));
    const manifest = JSON.parse((await text.Body?.transformToString()) ?? "") as BackupManifest;
    const key = manifest.objects[0]?.key ?? "";
    const whole = await buffer(
      (await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))).Body as NodeJS.ReadableStream,
    );
    const put = async (body: Buffer) => {
      await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
    };
    await put(whole.subarray(0, whole.length - 1000));
    const { layout } = lab.machine(replica.name).machine;
    await lab.machine(replica.name).kill();
    await run("rm", ["-r", layout.datadir]);
    await lab.machine(replica.name).start();
    expect(await waitForFailure(lab, replica.name, "backup-corrupt")).toContain(key);
    await expectOutOfTheTargetGroups();
    expect(await readdir(dirname(layout.datadir))).not.toContain("mysql");
    await put(whole);
    await lab.waitHealthy();
  });

  it.skipIf(process.getuid?.() !== 0)(
    "has a disk that is too small (needs root, for a small file system): it says so before it begins, and joins when the disk is larger",
    async () => {
      const { layout } = lab.machine(replica.name).machine;
      const disk = dirname(layout.datadir);
      await lab.machine(replica.name).kill();
      await run("mount", ["-t", "tmpfs", "-o", "size=40m", "tmpfs", disk]);
      try {
        await lab.machine(replica.name).start();
        await waitForFailure(lab, replica.name, "disk-full");
        await expectOutOfTheTargetGroups();
        expect(await readdir(disk)).toEqual([]);
        await run("mount", ["-o", "remount,size=900m", disk]);
        await lab.waitHealthy();
      } finally {
        await lab.machine(replica.name).kill();
        await lab.waitUntil(
          "the small file system is free",
          () =>
            run("umount", [disk]).then(
              () => true as const,
              (error: unknown) => String(error),
            ),
          30_000,
        );
      }
      await lab.machine(replica.name).start();
      await lab.waitHealthy();
    },
  );
});
