import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { Agent, type OutgoingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A running emulator behind a unix socket, which only this user can open. */
export interface Emulator {
  readonly name: string;
  readonly pid: number;
  readonly socketPath: string;
  /** Keeps connections to it open between calls. */
  readonly agent: Agent;
  /** Resolves when the process has ended for whatever reason. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/** The longest path that a unix socket can have on Linux, bytes, with its final zero. */
const maxSocketPath = 107;
const readyTimeoutMs = 60_000;
const saveTimeoutMs = 12_000;

const script = (name: string): string => fileURLToPath(new URL(`./emulators/${name}.py`, import.meta.url));

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

/**
 * Starts one of the scripts in `emulators/` and waits until it answers. The process ends when this one does, however it ends.
 *
 * @throws when it ends or does not answer in time; its log is named.
 */
export const startEmulator = async (options: {
  readonly name: "moto" | "ministack";
  readonly python: string;
  readonly runDir: string;
  readonly environment: Readonly<Record<string, string>>;
}): Promise<Emulator> => {
  const { name, python, runDir } = options;
  const socketPath = join(runDir, `${name}.sock`);
  if (Buffer.byteLength(socketPath) > maxSocketPath) {
    throw new Error(
      `The path ${socketPath} is too long for a unix socket (${maxSocketPath} bytes at most). Nothing was started. Choose a shorter run folder.`,
    );
  }
  const logPath = join(runDir, `${name}.log`);
  const log = await open(logPath, "w", 0o600);
  const child = spawn(python, ["-I", "-B", script(`${name}_server`), socketPath], {
    cwd: runDir,
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: runDir, TMPDIR: runDir, ...options.environment },
    stdio: ["pipe", log.fd, log.fd],
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  try {
    await once(child, "spawn");
  } finally {
    await log.close();
  }
  child.stdin?.on("error", () => undefined);
  // `lifo` and a limit below the servers' own keep-alive time: a connection that the server is about to close is never used.
  const agent = new Agent({ keepAlive: true, scheduling: "lifo", timeout: 30_000 });
  const close = async (): Promise<void> => {
    agent.destroy();
    if (hasEnded(child)) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), saveTimeoutMs);
    await ended;
    clearTimeout(timer);
  };
  const deadline = performance.now() + readyTimeoutMs;
  while (!(await answers(socketPath))) {
    if (hasEnded(child) || performance.now() > deadline) {
      const seen = hasEnded(child)
        ? `ended with ${child.signalCode ?? `code ${child.exitCode}`}`
        : `did not answer in ${readyTimeoutMs / 1000} s`;
      await close();
      throw new Error(`${name} ${seen}. Its log is ${logPath}. Nothing else was started; running it again is safe.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { name, pid: child.pid ?? 0, socketPath, agent, ended, close };
};

const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = request({ socketPath, path: "/favicon.ico", method: "HEAD", timeout: 2000 }, (response) => {
      response.resume();
      resolve(true);
    });
    probe.on("timeout", () => probe.destroy());
    probe.on("error", () => resolve(false));
    probe.end();
  });

/** A complete exchange with an emulator. */
export interface Exchange {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Sends a request whose body is at hand and reads the whole answer. */
export const exchange = (
  emulator: Emulator,
  options: {
    readonly method: string;
    readonly path: string;
    readonly headers: OutgoingHttpHeaders | readonly string[];
    readonly body: Buffer | string;
  },
): Promise<Exchange> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: emulator.socketPath,
        agent: emulator.agent,
        method: options.method,
        path: options.path,
        headers: options.headers as OutgoingHttpHeaders,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 502,
            rawHeaders: response.rawHeaders,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(options.body);
  });
