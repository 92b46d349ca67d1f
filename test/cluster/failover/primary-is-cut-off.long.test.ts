import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { peerCutsMissing } from "#lab/peer-cuts.ts";
import { printJournalsOnFailure, roles, startTestLab, writableNodes } from "../lab-fixture.ts";
import { expectAllThere, makeTable, startWriting, type Writing } from "../writing.ts";

const missing = await peerCutsMissing();

let lab: Lab;
let writing: Writing | undefined;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await makeTable(lab);
});
afterAll(() => lab?.down());
beforeEach(async () => {
  printJournalsOnFailure(() => lab, 60);
  await lab.waitHealthy();
});
afterEach(async () => {
  lab.faults.clear();
  await lab.heal();
  await writing?.stop();
});

const cutFromStore = (instanceIds: readonly string[]): void => {
  for (const principal of instanceIds) {
    lab.faults.add({ match: { principal, service: "dynamodb" }, effect: { kind: "cut" } });
  }
};

/** Longer than a lease, and than anybody needs to act on it. */
const wellPastALease = 9000;

describe("the primary loses DynamoDB", () => {
  it("alone: it goes on while its ackers are connected, and nobody replaces it", async () => {
    const { primary, record } = await roles(lab);
    writing = startWriting(lab, 2);
    cutFromStore([primary.instanceId]);
    await delay(wellPastALease);
    const before = writing.acknowledged();
    await lab.waitUntil("writes go on", () => (writing?.acknowledged() ?? 0) > before + 20 || "no", 5000);
    expect((await lab.topology())?.fence).toBe(record.fence);
    lab.faults.clear();
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
  });

  it("with everybody else: nobody is replaced; when it then dies nobody is promoted before DynamoDB is back", async () => {
    const { primary } = await roles(lab);
    writing = startWriting(lab, 2);
    cutFromStore((await lab.nodes()).map((node) => node.instanceId));
    await delay(wellPastALease);
    const before = writing.acknowledged();
    await lab.waitUntil("writes go on", () => (writing?.acknowledged() ?? 0) > before + 20 || "no", 5000);
    await lab.machine(primary.name).kill();
    await delay(4000);
    expect(await writableNodes(lab)).toEqual([]);
    lab.faults.clear();
    await lab.waitUntil(
      "another is the primary",
      async () => ((await lab.topology())?.instance_id !== primary.instanceId ? true : "not yet"),
      20_000,
    );
    await lab.machine(primary.name).start();
    await lab.waitHealthy();
    await expectAllThere(lab, await writing.stop());
  });
});

describe.skipIf(missing !== undefined)(
  `the primary loses its peers${missing === undefined ? "" : `: SKIPPED, ${missing}`}`,
  () => {
    const cutFromPeers = async (): Promise<void> => {
      const { primary, replicas } = await roles(lab);
      for (const { name } of replicas) await lab.cutPeers(primary.name, name);
    };

    it("and keeps DynamoDB: it stays, no commit is acknowledged by nobody, and writes go on when they are back", async () => {
      const { primary } = await roles(lab);
      writing = startWriting(lab, 2);
      await cutFromPeers();
      await delay(wellPastALease);
      expect((await lab.topology())?.instance_id).toBe(primary.instanceId);
      const before = writing.acknowledged();
      await lab.heal();
      await lab.waitUntil("writes go on", () => (writing?.acknowledged() ?? 0) > before + 20 || "no", 30_000);
      await lab.waitHealthy();
      await expectAllThere(lab, await writing.stop());
    });

    it("and DynamoDB: another takes over, and the old one, which still believes, acknowledges nothing and is demoted", async () => {
      const { primary } = await roles(lab);
      writing = startWriting(lab, 4);
      await cutFromPeers();
      cutFromStore([primary.instanceId]);
      await lab.waitUntil(
        "another is the primary",
        async () => ((await lab.topology())?.instance_id !== primary.instanceId ? true : "not yet"),
        30_000,
      );
      const before = writing.acknowledged();
      await lab.waitUntil("writes go on", () => (writing?.acknowledged() ?? 0) > before + 20 || "no", 30_000);
      await lab.heal();
      lab.faults.clear();
      await lab.waitUntil(
        "one node is writable",
        async () => {
          const writable = await writableNodes(lab);
          return (writable.length === 1 && writable[0] !== primary.name) || { seen: writable };
        },
        30_000,
      );
      await lab.waitHealthy();
      await expectAllThere(lab, await writing.stop());
    });
  },
);
