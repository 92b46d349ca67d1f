import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { ensureMinistack, reportLines } from "#lab/cache/index.ts";

/** A port of 127.0.0.1 that was free a moment ago. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
};

/** Ends a process that this test started and waits until it is gone; one that does not end by itself is killed. */
export const endProcess = async (child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  const tooLong = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await ended;
  clearTimeout(tooLong);
};

/** A real server of the AWS data plane's protocols, without a lab around it. */
export interface Ministack {
  readonly port: number;
  readonly endpoint: string;
  /** It waits for downloads that a test has cut, and nothing of it is kept: tests may kill it. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts the server on a free port of loopback, with its files in `folder`, and waits until `firstCall` succeeds.
 *
 * @throws with the server's own words when it never does; the server is ended then.
 */
export const startMinistack = async (
  folder: string,
  firstCall: (endpoint: string) => Promise<unknown>,
): Promise<Ministack> => {
  const { command } = await ensureMinistack(reportLines((line) => void process.stderr.write(`${line}\n`)));
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const logFile = join(folder, "ministack.log");
  const log = await open(logFile, "w");
  const [program, ...args] = command as [string, ...string[]];
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ["ignore", log.fd, log.fd],
    env: {
      PATH: process.env.PATH ?? "/usr/bin:/bin",
      HOME: folder,
      TMPDIR: folder,
      BIND_HOST: "127.0.0.1",
      GATEWAY_PORT: String(port),
      SFTP_ENABLED: "0",
      IOT_MTLS_ENABLED: "0",
    },
  });
  await log.close();
  const endpoint = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      await firstCall(endpoint);
      return { port, endpoint, end: (signal) => endProcess(child, signal) };
    } catch (error) {
      if (child.exitCode !== null || performance.now() > deadline) {
        await endProcess(child);
        throw new Error(`no server: ${String(error)} ${await readFile(logFile, "utf8")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};
