import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../.ci/build.ts";
import type { Figure } from "./figures.ts";

const rounds = 30;

const timeOf = async (argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> => {
  const [program, ...rest] = argv;
  const began = performance.now();
  const child = spawn(program ?? "", rest, { stdio: "ignore", env });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}`);
  return performance.now() - began;
};

/** How long a node's script takes that does nothing but start: bundle and compile cache, as on an instance. Baseline: Node alone. */
export const scriptStart = async (): Promise<Figure[]> => {
  const parts = await build({ parts: ["node"] });
  const directory = parts[0]?.directory ?? "";
  const cache = await mkdtemp(join(tmpdir(), "percona-actions-bench-"));
  const env = { ...process.env, PERCONA_NODE: process.execPath, NODE_COMPILE_CACHE: cache };
  try {
    const figures: Figure[] = [];
    for (const script of ["bootstrap", "operation", "orchestrator-hook"]) {
      const argv = [join(directory, script), "--version"];
      await timeOf(argv, env);
      const measured: number[] = [];
      const alone: number[] = [];
      // Taken in turns, so that both see the same noise.
      for (let round = 0; round < rounds; round += 1) {
        alone.push(await timeOf([process.execPath, "-e", "0"], env));
        measured.push(await timeOf(argv, env));
      }
      figures.push({
        name: `start of ${script}, which does nothing`,
        unit: "ms",
        measured,
        baseline: { name: "node -e 0", measured: alone },
        goal: 160,
      });
    }
    return figures;
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
};
