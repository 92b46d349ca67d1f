import { spawn } from "node:child_process";

/** A process that has ended. */
export interface Ended {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program with exactly the given environment, in a process group of its own, so that at the deadline nothing of it is left.
 *
 * @throws at the deadline, with what it wrote until then.
 */
export async function runProcess(
  [program = "", ...args]: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string; readonly timeoutMs: number },
): Promise<Ended> {
  const { env, cwd, timeoutMs } = options;
  const child = spawn(program, args, { env: { ...env }, cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const written = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      written[stream] += text;
    });
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, timeoutMs);
  try {
    const exitCode = await new Promise<number | undefined>((resolve, reject) => {
      child.on("error", reject).on("close", (code) => resolve(code ?? undefined));
    });
    if (late) throw new Error(`${program} did not end within ${timeoutMs} ms.\n${written.stdout}\n${written.stderr}`);
    return { exitCode, ...written };
  } finally {
    clearTimeout(timer);
  }
}
