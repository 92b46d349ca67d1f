import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { DeleteItemCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { afterEach, describe, expect, it } from "vitest";
import { hashKey, itemKey } from "#contract/table.ts";
import type { Lab } from "#lab/lab.ts";
import { markerName } from "#node/lib/cluster/data-directory.ts";
import { endLab, startTestLab, waitForFailure } from "./lab-fixture.ts";

const run = promisify(execFile);

describe("a cluster whose record was lost", () => {
  let lab: Lab | undefined;
  afterEach((context) => endLab(lab, context, 30));

  it("is not formed empty beside its backups, with or without data on the nodes, unless a person says so", async () => {
    const running = await startTestLab();
    lab = running;
    await running.waitHealthy();
    const nodes = await running.nodes();
    const machines = nodes.map((node) => running.machine(node.name).machine);
    const dynamodb = new DynamoDBClient(running.aws());
    await Promise.all(machines.map((machine) => machine.kill()));
    await dynamodb.send(
      new DeleteItemCommand({
        TableName: running.cluster.tableName,
        Key: { [hashKey]: { S: itemKey.topology(running.clusterId) } },
      }),
    );
    const [empty, ...others] = machines;
    await run("rm", ["-r", empty?.layout.datadir ?? ""]);
    await Promise.all(machines.map((machine) => machine.boot()));
    for (const node of nodes) await waitForFailure(running, node.name, "existing-data");
    expect(await running.topology()).toBeUndefined();
    for (const machine of others) expect(await readdir(machine.layout.datadir)).toContain(markerName);

    const formed = await empty?.run({
      script: ['systemctl stop percona-bootstrap; "$PERCONA_ACTIONS_BIN/bootstrap" --initialise-empty'],
      environment: {},
      timeoutMs: 90_000,
      signal: AbortSignal.timeout(90_000),
    });
    expect(formed?.exitCode, formed?.stderr).toBe(0);
    await running.waitHealthy();
    // The others' data were of the cluster that was given up: they are kept, and not used.
    for (const machine of others) {
      const beside = await readdir(dirname(machine.layout.datadir));
      expect(beside.some((name) => name.startsWith("mysql.set-aside-"))).toBe(true);
    }
  });
});
