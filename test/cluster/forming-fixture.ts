import { expect } from "vitest";
import { units } from "#contract/names.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { roles, value, writableNodes } from "./lab-fixture.ts";

/** Starts three nodes and waits until one of them is recorded as the forming primary. */
export const untilFormed = async (running: Lab): Promise<LabNode> => {
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

/** Whether a node's bootstrap has said these words; its last line when it has not. */
export const says = async (running: Lab, name: string, words: string): Promise<true | string> =>
  (await journalOf(running, name)).includes(words) ||
  (await journalOf(running, name)).trimEnd().split("\n").slice(-1).join();

/** The cluster that is there in the end has one primary, who is not the lost winner, and works. */
export const expectAnotherPrimary = async (running: Lab, lost: LabNode): Promise<TopologyRecord> => {
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
export const expectReplicaInTheEnd = async (running: Lab, late: LabNode): Promise<void> => {
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
