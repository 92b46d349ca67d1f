import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureAll, ensureMysql } from "#lab/cache/index.ts";
import { type Lab, startLab } from "#lab/lab.ts";
import { initialiseDataDirectory } from "#node/lib/mysql/initialise.ts";
import type { Figure } from "./figures.ts";

const rounds = 3;
const seconds = (began: number): number => (performance.now() - began) / 1000;

/** Memory of a process that no other process shares with it more than once: its proportional set size, MB. */
const memoryOf = async (pid: number): Promise<number> => {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1024;
};

/** Everything that the lab runs: nodes, emulators, and this process with gateway, balancer and hypervisor. */
const memoryOfLab = async (lab: Lab): Promise<number> => {
  const nodes = (await lab.nodes()).flatMap((node) => lab.machine(node.name).machine.processes());
  const pids = [...nodes, lab.cloud.processes.moto, lab.cloud.processes.ministack, process.pid];
  const sizes = await Promise.all(pids.map(memoryOf));
  return sizes.reduce((sum, size) => sum + size, 0);
};

/** One bare mysqld from nothing, for comparison: the three of a cluster do this and more, on the same cores. */
const bareInitialisation = async (): Promise<number> => {
  const folder = await mkdtemp(join(tmpdir(), "percona-actions-bench-"));
  try {
    const { mysqld } = await ensureMysql(() => {});
    const datadir = join(folder, "data");
    await mkdir(datadir);
    await writeFile(join(folder, "my.cnf"), "[mysqld]\n");
    const began = performance.now();
    await initialiseDataDirectory({
      mysqld,
      defaultsFile: join(folder, "my.cnf"),
      datadir,
      osUser: process.env.USER ?? "root",
    });
    return seconds(began);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** From the cache to a healthy cluster of three nodes, its memory, and down again; and the cache from nothing. */
export const labStart = async (): Promise<Figure[]> => {
  const up: number[] = [];
  const down: number[] = [];
  const memory: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    bare.push(await bareInitialisation());
    const began = performance.now();
    const lab = await startLab();
    try {
      await lab.waitHealthy();
      up.push(seconds(began));
      memory.push(await memoryOfLab(lab));
    } finally {
      const ending = performance.now();
      await lab.down();
      down.push(seconds(ending));
    }
  }
  const empty = await mkdtemp(join(tmpdir(), "percona-actions-cache-"));
  let filled = 0;
  try {
    const began = performance.now();
    await ensureAll(() => {}, empty);
    filled = seconds(began);
  } finally {
    await rm(empty, { recursive: true, force: true });
  }
  const baseline = { name: "one bare mysqld initialised", measured: bare };
  return [
    { name: "lab: from cache to a healthy cluster", unit: "s", measured: up, baseline, goal: 30 },
    { name: "lab: down", unit: "s", measured: down, goal: 10 },
    { name: "lab: memory of three nodes and their cloud", unit: "MB", measured: memory, goal: 2500 },
    {
      name: "lab: from an empty cache to a healthy cluster",
      unit: "s",
      measured: up.map((time) => time + filled),
      goal: 300,
    },
  ];
};
