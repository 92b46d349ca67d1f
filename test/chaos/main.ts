import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { startLab } from "#lab/lab.ts";
import { type ChaosArguments, parseArguments, UsageError, usage } from "./arguments.ts";
import { type Disks, makeDisks, ownMountsVariable } from "./disks.ts";
import { saveHistory, summary } from "./report.ts";
import { runChaos } from "./run-chaos.ts";

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Whether this process may have mounts that nobody else sees. */
const mayMount = (): boolean => spawnSync("unshare", ["--mount", "true"], { stdio: "ignore" }).status === 0;

/** Runs this program again where what it mounts ends with it. Resolves with its exit code. */
const runWithOwnMounts = async (): Promise<number> => {
  const child = spawn("unshare", ["--mount", process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, [ownMountsVariable]: "1" },
  });
  const pass = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, pass);
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
};

/** Resolves with the exit code: 1 when something is wrong. */
const main = async (asked: ChaosArguments): Promise<number> => {
  say(`seed ${asked.seed}`);
  const lab = await startLab({ nodes: asked.nodes, routing: asked.routing, report: say });
  let disks: Disks | undefined;
  const end = async (): Promise<void> => {
    for (const { name } of await lab.nodes()) await lab.machine(name).kill();
    await disks?.remove();
    await lab.down();
  };
  const interrupted = (): void => {
    say("interrupted");
    void end().finally(() => process.exit(130));
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, interrupted);
  try {
    await lab.waitHealthy();
    if (asked.kinds.includes("full-disk") && process.env[ownMountsVariable] === "1") {
      say("putting each node's data on a small disk …");
      disks = await makeDisks(lab);
    }
    const result = await runChaos(lab, { ...asked, ...(disks === undefined ? {} : { disks }), say });
    say(`\n${summary(result)}`);
    const violated = result.violations.length > 0;
    if (violated || asked.history) {
      const folder = await saveHistory(lab, result);
      say(
        `\n${violated ? "VIOLATED with" : "nothing is wrong,"} seed ${result.seed}; the whole history is in ${folder}`,
      );
    }
    for (const { kind, message } of result.violations) say(`${kind}: ${message}`);
    return violated ? 1 : 0;
  } finally {
    await end();
  }
};

try {
  const asked = parseArguments(process.argv.slice(2));
  if (asked === "help") say(usage);
  else if (process.env[ownMountsVariable] === undefined && asked.kinds.includes("full-disk") && mayMount()) {
    process.exitCode = await runWithOwnMounts();
  } else process.exit(await main(asked));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}\n`);
  process.exitCode = 2;
}
