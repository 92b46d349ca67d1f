import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listProcesses } from "#lab/machine/processes.ts";
import { labPaths } from "#lab/state.ts";

const main = fileURLToPath(new URL("../../lab/main.ts", import.meta.url));

/** What a command of the lab's command line gave. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder for the state of labs, apart from those of a person, and one for what they put into the temporary folder. */
export async function labFolders() {
  const folder = await mkdtemp(join(tmpdir(), "labs-"));
  const [state, temporary] = [join(folder, "state"), join(folder, "t")];
  await mkdir(temporary);
  const env = { ...process.env, PERCONA_ACTIONS_STATE: state, TMPDIR: temporary };
  return {
    folder,
    temporary,
    env,
    paths: (number: number) => labPaths(number, state),
    /** Runs a command of the command line to its end. */
    lab: (...args: string[]): Promise<Answer> =>
      new Promise((resolve) => {
        execFile(process.execPath, [main, ...args], { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
          resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr });
        });
      }),
    /** Starts one that goes on; its output is collected. */
    start: (...args: string[]): { child: ChildProcess; output(): string } => {
      const child = spawn(process.execPath, [main, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => {
          output += text;
        });
      }
      return { child, output: () => output };
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Scripts that stand for the node's own: bootstrap starts the agent, the agent has a child. No mysqld runs. */
export async function standInScripts(folder: string): Promise<string> {
  const bin = join(folder, "bin");
  await mkdir(bin, { recursive: true });
  const run = `import { execFileSync } from "node:child_process";\n`;
  await writeFile(
    join(bin, "bootstrap.mjs"),
    `${run}execFileSync("systemctl", ["start", "percona-agent"]); console.log("bootstrapped", process.env.AWS_REGION);\n`,
  );
  await writeFile(
    join(bin, "agent.mjs"),
    `import { spawn } from "node:child_process";\nspawn("sleep", ["603"], { detached: true });\nconsole.log("agent runs");\nsetInterval(() => {}, 1000);\n`,
  );
  return bin;
}

/** Processes that belong to a lab: by its mark, or by its addresses or folders on their command line. */
export const processesOf = (run: string): number[] =>
  listProcesses()
    .filter(({ environment }) => environment.some((entry) => entry.startsWith(`PERCONA_LAB_OWNER=${run}/`)))
    .map(({ pid }) => pid);

/** Whether something listens there. */
export const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
