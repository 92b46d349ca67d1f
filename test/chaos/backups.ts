import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "#contract/failure-reasons.ts";
import type { Lab } from "#lab/lab.ts";
import { onNode } from "../cluster/switchover-fixture.ts";

/** Full backups that are taken while the cluster is broken in every way. */
export interface Backups {
  /** How many were taken, and how many came to nothing. */
  counts(): { readonly taken: number; readonly failed: number };
  /** Resolves when none is under way. */
  stop(): Promise<void>;
}

/** Between two backups, milliseconds. A node that is restored replays what was written since the newest. */
const everyMs = 120_000;
/** A backup that takes longer is given up: its node was stopped or cut off. */
const timeoutMs = 180_000;

/** Takes a full backup of a replica now and again, as a timer on the nodes does. One that fails is no violation: a fault hit it. */
export const startBackups = (lab: Lab, say: (line: string) => void): Backups => {
  const ending = new AbortController();
  let [taken, failed] = [0, 0];
  const takeOne = async (): Promise<void> => {
    const record = await lab.topology();
    const replica = (await lab.nodes()).findLast((node) => node.instanceId !== record?.instance_id);
    if (replica === undefined) return;
    await onNode(lab, replica.name, "backup", {}, { timeoutMs, signal: ending.signal });
    taken += 1;
  };
  const running = (async () => {
    for (;;) {
      await delay(everyMs, undefined, { signal: ending.signal });
      await takeOne().catch((error: unknown) => {
        if (ending.signal.aborted) return;
        failed += 1;
        say(`      a backup failed: ${messageOf(error).trim().split("\n").at(-1)?.slice(0, 300)}`);
      });
    }
  })().catch(() => {});
  return {
    counts: () => ({ taken, failed }),
    stop: () => {
      ending.abort();
      return running;
    },
  };
};

/** Removes data that were set aside when nodes were restored, as a person does who has looked at them. */
export const removeSetAside = async (lab: Lab): Promise<void> => {
  for (const { name } of await lab.nodes()) {
    const { datadir } = lab.machine(name).machine.layout;
    const beside = await readdir(dirname(datadir)).catch(() => []);
    for (const entry of beside.filter((each) => each.startsWith(`${basename(datadir)}.set-aside-`))) {
      await rm(join(dirname(datadir), entry), { recursive: true, force: true });
    }
  }
};
