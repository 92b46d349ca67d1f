import { afterEach, describe, expect, it } from "vitest";
import { units } from "#contract/names.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { endLab, roles, startTestLab, value, writableNodes } from "./lab-fixture.ts";

let lab: Lab | undefined;
afterEach(async (context) => {
  await endLab(lab, context);
  lab = undefined;
});

/** Starts three nodes and waits until one of them is recorded as the forming primary. */
const untilFormed = async (running: Lab): Promise<LabNode> => {
  let winner: LabNode | undefined;
  await running.waitUntil(
    "a forming primary is recorded",
    async () => {
      const record = await running.topology();
      winner = (await running.nodes()).find((node) => node.instanceId === record?.instance_id);
      return winner !== undefined || "nobody";
    },
    60_000,
  );
  return winner as LabNode;
};

const journalOf = async (running: Lab, name: string): Promise<string> =>
  (await running.logs(name))[units.bootstrap] ?? "";

const says = async (running: Lab, name: string, words: string): Promise<true | string> =>
  (await journalOf(running, name)).includes(words) ||
  (await journalOf(running, name)).trimEnd().split("\n").slice(-1).join();

/** The cluster that is there in the end has one primary, who is not the lost winner, and works. */
const expectAnotherPrimary = async (running: Lab, lost: LabNode): Promise<TopologyRecord> => {
  await running.waitUntil(
    "another node serves",
    async () => {
      const record = await running.topology();
      return (record?.phase === "serving" && record.instance_id !== lost.instanceId) || { seen: record };
    },
    90_000,
  );
  const { record, primary } = await roles(running);
  expect(record.phase).toBe("serving");
  expect(primary.instanceId).not.toBe(lost.instanceId);
  expect(record.failover_from).toBe(lost.instanceId);
  expect(record.timeline).toBe(2);
  expect(await writableNodes(running)).toEqual([primary.name]);
  await running.waitUntil(
    "clients can write through the balancer",
    async () => {
      await running.sql("write", "CREATE TABLE IF NOT EXISTS app.works (id INT PRIMARY KEY)");
      return true as const;
    },
    30_000,
  );
  return record;
};

/** A node that comes back late is a replica like the others in the end. */
const expectReplicaInTheEnd = async (running: Lab, late: LabNode): Promise<void> => {
  await running.waitHealthy();
  const { primary } = await roles(running);
  const set = (await value(running, primary.name, "SELECT @@global.gtid_executed")).replaceAll(/\s/g, "");
  await running.waitUntil(
    `${late.name} has everything, and nothing else`,
    async () => {
      const theirs = (await value(running, late.name, "SELECT @@global.gtid_executed")).replaceAll(/\s/g, "");
      return theirs === set || theirs;
    },
    30_000,
  );
  expect(await writableNodes(running)).toEqual([primary.name]);
};

describe("the winner of the election loses its power", () => {
  it("before its first backup: another forms the cluster anew, and the winner's data are set aside when it returns", async () => {
    lab = await startTestLab();
    // Nobody can send a backup until this is taken away.
    const allow = lab.faults.add({
      match: { service: "s3", operation: "CreateMultipartUpload" },
      effect: { kind: "deny" },
    });
    const winner = await untilFormed(lab);
    const before = await lab.topology();
    await lab.machine(winner.name).kill();
    allow();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBeGreaterThan(before?.formation ?? 0);
    await lab.machine(winner.name).start();
    await lab.waitUntil(
      "the old winner sets its data aside",
      () => says(lab as Lab, winner.name, "setting the data directory aside"),
      60_000,
    );
    await expectReplicaInTheEnd(lab, winner);
  });

  it("during its first backup: the unfinished backup is nobody's, and another forms the cluster anew", async () => {
    lab = await startTestLab();
    const quick = lab.faults.add({
      match: { service: "s3", operation: "CompleteMultipartUpload" },
      effect: { kind: "black-hole" },
    });
    const winner = await untilFormed(lab);
    await lab.waitUntil(
      "the winner is sending its backup",
      () => says(lab as Lab, winner.name, "opened the copy"),
      60_000,
    );
    await lab.machine(winner.name).kill();
    quick();
    await expectAnotherPrimary(lab, winner);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });

  it("after its first backup: the backup is restored, and the formation goes on in a new timeline", async () => {
    lab = await startTestLab();
    const nodes = await lab.nodes();
    const winner = await untilFormed(lab);
    // The others cannot read the backup yet, so that nobody acknowledges and the winner cannot serve.
    const readable = nodes
      .filter((node) => node.instanceId !== winner.instanceId)
      .map((node) =>
        lab?.faults.add({
          match: { principal: node.instanceId, service: "s3", operation: "GetObject" },
          effect: { kind: "throttle" },
        }),
      );
    const before = await lab.topology();
    await lab.waitUntil(
      "the winner's backup is durable",
      () => says(lab as Lab, winner.name, "the first full backup, "),
      60_000,
    );
    await lab.machine(winner.name).kill();
    for (const allow of readable) allow?.();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBe(before?.formation);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });
});

describe("the winner of the election loses its power when the others have joined", () => {
  it("one of them takes over with the data that it has", async () => {
    lab = await startTestLab();
    const winner = await untilFormed(lab);
    await lab.waitUntil(
      "the winner lets the others replicate",
      async () =>
        (await lab?.logs(winner.name))?.[units.agent]?.includes("created replication accounts") || "no accounts yet",
      60_000,
    );
    // It cannot record anything more: no acker, and not that it serves.
    lab.faults.add({
      match: { principal: winner.instanceId, service: "dynamodb", operation: "PutItem" },
      effect: { kind: "throttle" },
    });
    const before = await lab.topology();
    for (const node of (await lab.nodes()).filter((each) => each.instanceId !== winner.instanceId)) {
      await lab.waitUntil(`${node.name} has caught up`, () => says(lab as Lab, node.name, "caught up with"), 60_000);
    }
    await lab.machine(winner.name).kill();
    lab.faults.clear();
    expect((await expectAnotherPrimary(lab, winner)).formation).toBe(before?.formation);
    await lab.machine(winner.name).start();
    await expectReplicaInTheEnd(lab, winner);
  });
});

describe("a stopped winner", () => {
  it("goes on after another has formed the cluster: it is never writable beside it, and becomes a replica", async () => {
    lab = await startTestLab();
    const allow = lab.faults.add({
      match: { service: "s3", operation: "CreateMultipartUpload" },
      effect: { kind: "deny" },
    });
    const winner = await untilFormed(lab);
    await lab.machine(winner.name).stop();
    allow();
    await expectAnotherPrimary(lab, winner);
    await lab.machine(winner.name).cont();
    await lab.waitUntil(
      "the old winner sets its data aside",
      () => says(lab as Lab, winner.name, "setting the data directory aside"),
      60_000,
    );
    await expectReplicaInTheEnd(lab, winner);
  });
});
