import { cp, mkdir, rm, statfs } from "node:fs/promises";
import type { Lab } from "#lab/lab.ts";
import { run } from "../lab/cache/run.ts";

/** Small disks of nodes, which can be full. */
export interface Disks {
  /** Nothing more fits on this node's disk from now on. */
  fill(node: string): Promise<void>;
  free(node: string): Promise<void>;
  /** Takes the disks away with what is on them; every node has to be off. */
  remove(): Promise<void>;
}

/** Set by the program that runs this one in a mount namespace of its own, so that nothing stays mounted whatever happens. */
export const ownMountsVariable = "CHAOS_OWN_MOUNTS";

/** Roomy, in comparison with what a run writes. */
const roomy = "4g";

/** How often a disk is measured anew that grows while it is made full. */
const fillTries = 20;

/** Why disks cannot be made full here; undefined when they can. */
export const disksMissing = (): string | undefined =>
  process.env[ownMountsVariable] === "1"
    ? undefined
    : "no disk can be full: a tmpfs of one's own needs root, and a mount namespace of its own (npm run chaos makes one)";

/** Puts every node's data on a tmpfs, one node after the other; the cluster stays healthy but for a failover. */
export const makeDisks = async (lab: Lab): Promise<Disks> => {
  const mounted = new Map<string, string>();
  for (const { name } of await lab.nodes()) {
    const { machine } = lab.machine(name);
    await machine.kill();
    const { data } = machine.layout;
    const aside = `${data}.aside`;
    await cp(data, aside, { recursive: true, preserveTimestamps: true });
    await rm(data, { recursive: true });
    await mkdir(data);
    await run(["mount", "-t", "tmpfs", "-o", `size=${roomy},mode=0700`, "chaos", data]);
    mounted.set(name, data);
    await run(["cp", "-a", `${aside}/.`, data]);
    await rm(aside, { recursive: true });
    await machine.boot();
    await lab.waitHealthy();
  }
  const pathOf = (node: string): string => {
    const path = mounted.get(node);
    if (path === undefined) throw new Error(`${node} came later and has no disk of its own.`);
    return path;
  };
  const resize = (path: string, size: string): Promise<unknown> => run(["mount", "-o", `remount,size=${size}`, path]);
  return {
    fill: async (node) => {
      const path = pathOf(node);
      for (let tries = 1; ; tries++) {
        const { blocks, bfree, bsize } = await statfs(path);
        try {
          await resize(path, String((blocks - bfree + tries) * bsize));
          return;
        } catch (error) {
          // More was written meanwhile than would fit.
          if (tries === fillTries) throw error;
        }
      }
    },
    free: async (node) => {
      await resize(pathOf(node), roomy);
    },
    remove: async () => {
      for (const path of mounted.values()) await run(["umount", path]);
    },
  };
};
