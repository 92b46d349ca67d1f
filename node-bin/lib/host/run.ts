import { $ } from "zx/core";

/** What a finished program left. */
export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The one way in which node scripts run programs with small output. Arguments are an array, each quoted by zx.
 * Big streams do not go through here: zx keeps all output in memory.
 */
export type Run = (
  argv: readonly [string, ...string[]],
  options?: { readonly timeoutMs?: number; readonly env?: NodeJS.ProcessEnv },
) => Promise<RunResult>;

/** Runs by zx. Never throws for an exit code; throws when the program does not end within `timeoutMs`. */
export const runProgram: Run = async (argv, options = {}) => {
  const { timeoutMs = 60_000, env = process.env } = options;
  const shell = $({
    nothrow: true,
    quiet: true,
    verbose: false,
    env,
    timeout: timeoutMs,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = await shell`${argv}`;
  if (output.exitCode === null) {
    throw new Error(`${argv[0]} was ended by ${output.signal ?? "a signal"}; it was given ${timeoutMs} ms`);
  }
  return { exitCode: output.exitCode, stdout: output.stdout, stderr: output.stderr };
};
