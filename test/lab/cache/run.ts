import { spawn } from "node:child_process";

/** What a finished command said. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a short helper command to its end. */
export type Run = (argv: readonly string[], options?: RunOptions) => Promise<Finished>;

export interface RunOptions {
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The command is killed after this many seconds; 900 by default, which is a hang and not a slow network. */
  readonly timeoutSeconds?: number;
}

/**
 * Runs a command and collects its output, in the C locale.
 *
 * The command gets SIGKILL when this process dies (`setpriv --pdeathsig`), so that no orphan goes on writing into a folder that
 * the next run has discarded.
 *
 * @throws with the command, its exit and the last lines of its output.
 */
export const run: Run = (argv, options = {}) =>
  new Promise((resolve, reject) => {
    const timeoutSeconds = options.timeoutSeconds ?? 900;
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: timeoutSeconds * 1000,
      killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (cause) =>
      reject(new Error(`${argv.join(" ")} could not be started: ${cause.message}`, { cause })),
    );
    child.on("close", (code, signal) => {
      if (code === 0) resolve({ stdout, stderr });
      else {
        const end = signal === null ? `exit code ${code}` : `${signal}, perhaps after ${timeoutSeconds} s`;
        const said = `${stdout}\n${stderr}`.trim().split("\n").slice(-15).join("\n");
        reject(new Error(`${argv.join(" ")} ended with ${end}:\n${said}`));
      }
    });
  });
