import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { LabNode } from "#lab/controls.ts";
import type { Lab, LabOptions } from "#lab/lab.ts";
import { faultFileVariable } from "#node/lib/operation/fault.ts";
import { printJournalsOnFailure, roles, startTestLab, testRouting, writableNodes } from "./lab-fixture.ts";
import { expectAllThere, makeTable, startWriting, type Writing } from "./writing.ts";

/**
 * How much longer than a change of primary its clients wait at most, milliseconds: with registration the balancer has to see
 * the new target healthy first, twice with a second between, and to hear of it before.
 */
export const balancerMs = testRouting === "registration" ? 8000 : 0;

/** A cluster to which something happens while clients write. Waits throw at their deadlines, with what was seen last. */
export interface Situation {
  readonly lab: Lab;
  /** Starts clients that write through the balancer, and waits for their first writes. They end with the test. */
  clientsWrite(clients?: number, pauseMs?: number): Promise<Writing>;
  /** Has node scripts stop at a point, for example `kill after record`, once. */
  plantFault(text: string): Promise<void>;
  faultHasStruck(): Promise<void>;
  /** Another node than this one is recorded as primary. */
  anotherIsPrimary(old: LabNode, deadlineMs?: number): Promise<void>;
  /** A write goes through the balancer, and one node is writable. */
  writesAgain(deadlineMs?: number): Promise<void>;
  /** One node is writable, and it is another than this one. */
  onlyOthersWritable(old: LabNode): Promise<void>;
  /** The group has terminated this node. */
  isGone(node: LabNode): Promise<void>;
  /** Boots nodes that lost their power, and waits until the cluster is as it should be. */
  backAndHealthy(...names: readonly string[]): Promise<void>;
  /** The healthy cluster has one writable node, and nothing that was acknowledged is lost. Ends the clients. */
  expectSound(writing: Writing): Promise<void>;
}

/** Waits until clients that are at work have made some more writes. */
export const writesGoOn = (lab: Lab, writing: Writing, deadlineMs = 40_000): Promise<void> => {
  const before = writing.acknowledged();
  return lab.waitUntil(
    "writes go on",
    () => writing.acknowledged() > before + 20 || `${writing.acknowledged() - before} more`,
    deadlineMs,
  );
};

/** One lab for the tests of a file or group: healthy, and with the clients' table, before each of them. */
export const useSituation = (options: LabOptions = {}): Situation => {
  let running: Lab | undefined;
  let folder = "";
  const faultFile = (): string => join(folder, "fault");
  const atWork: Writing[] = [];
  const healthyMs = options.nodes === 5 ? 240_000 : 120_000;
  const the = (): Lab => {
    if (running === undefined) throw new Error("The lab is there when the tests run, not before.");
    return running;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "fault-"));
    running = await startTestLab({ ...options, env: { ...options.env, [faultFileVariable]: faultFile() } });
    await running.waitHealthy(healthyMs);
    await makeTable(running);
  });
  afterAll(async () => {
    await running?.down();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    printJournalsOnFailure(() => running, 60);
    await rm(faultFile(), { force: true });
    await the().waitHealthy(healthyMs);
  });
  afterEach(async () => {
    await Promise.all(atWork.splice(0).map((writing) => writing.stop()));
  });

  return {
    get lab() {
      return the();
    },
    clientsWrite: async (clients, pauseMs) => {
      const writing = startWriting(the(), clients, pauseMs);
      atWork.push(writing);
      await writesGoOn(the(), writing, 30_000);
      return writing;
    },
    plantFault: (text) => writeFile(faultFile(), text),
    faultHasStruck: () => the().waitUntil("the fault has struck", () => !existsSync(faultFile()) || "not yet", 30_000),
    anotherIsPrimary: (old, deadlineMs = 40_000) =>
      the().waitUntil(
        "another is the primary",
        async () => (await the().topology())?.instance_id !== old.instanceId || "not yet",
        deadlineMs,
      ),
    writesAgain: (deadlineMs = 30_000) =>
      the().waitUntil(
        "a write goes through the balancer, and one node is writable",
        async () => {
          await the().sql("write", `INSERT INTO app.written (k) VALUES ('${performance.now()}')`);
          const writable = await writableNodes(the());
          return writable.length === 1 || { seen: writable };
        },
        deadlineMs + balancerMs,
      ),
    onlyOthersWritable: (old) =>
      the().waitUntil(
        `one node is writable, and not ${old.name}`,
        async () => {
          const writable = await writableNodes(the());
          return (writable.length === 1 && writable[0] !== old.name) || { seen: writable };
        },
        30_000,
      ),
    isGone: (gone) =>
      the().waitUntil(
        `${gone.name} is gone`,
        async () => {
          const seen = (await the().nodes()).map((node) => `${node.instanceId} ${node.lifecycle}`);
          return !seen.some((each) => each.startsWith(gone.instanceId)) || { seen };
        },
        120_000,
      ),
    backAndHealthy: async (...names) => {
      for (const name of names) await the().machine(name).start();
      await the().waitHealthy(healthyMs);
    },
    expectSound: async (writing) => {
      await the().waitHealthy(healthyMs);
      await expectAllThere(the(), await writing.stop());
      const { primary } = await roles(the());
      expect(await writableNodes(the())).toEqual([primary.name]);
    },
  };
};
