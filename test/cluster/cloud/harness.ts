import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "#contract/ports.ts";
import { type Cloud, type CloudOptions, type NodeCommand, type NodeHost, startCloud } from "#lab/cloud/index.ts";

/** A cloud of this test's own, with a folder that goes with it. */
export interface TestCloud {
  readonly cloud: Cloud;
  readonly lines: readonly string[];
  close(): Promise<void>;
}

/** Other labs run on this machine: their networks answer with EADDRINUSE, and the next one is tried. */
export const startTestCloud = async (options: Partial<CloudOptions> = {}): Promise<TestCloud> => {
  const folder = await mkdtemp(join(tmpdir(), "cloud-"));
  const lines: string[] = [];
  for (let attempt = 0; ; attempt += 1) {
    const network = `127.${100 + ((process.pid + attempt * 7) % 100)}`;
    try {
      const cloud = await startCloud({
        network,
        stateDir: join(folder, "state"),
        runDir: join(folder, "run"),
        report: (line) => lines.push(line),
        ...options,
      });
      return {
        cloud,
        lines,
        close: async () => {
          await cloud.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    } catch (error) {
      const isTaken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
      if (!isTaken || attempt > 20) throw error;
    }
  }
};

/** Waits until `look` gives something other than undefined or false; its errors count as not yet. */
export const eventually = async <T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 15_000,
): Promise<T> => {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what} (last seen: ${last})`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

/** A node without MySQL: an agent that answers health checks as told, and a server that says its own address. */
export interface FakeNode {
  readonly address: string;
  /** Statuses of the agent's paths. */
  readonly statuses: Map<string, number>;
  /** Addresses that connected to the server. */
  readonly peers: Set<string>;
  close(): Promise<void>;
}

export const startFakeNode = async (address: string, port: number = ports.mysql): Promise<FakeNode> => {
  const statuses = new Map([
    ["/health", 200],
    ["/primary", 200],
    ["/replica", 200],
  ]);
  const peers = new Set<string>();
  const sockets = new Set<Socket>();
  const agent = createHttpServer((request, response) => {
    response.writeHead(statuses.get(request.url ?? "") ?? 404);
    response.end();
  });
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    peers.add(socket.remoteAddress ?? "");
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.write(`${address}\n`);
    // Echoes, and ends its own half only after the client has ended.
    socket.on("data", (chunk) => socket.write(chunk));
    socket.on("end", () => socket.end("bye\n"));
  });
  await new Promise<void>((resolve) => agent.listen(ports.agent, address, resolve));
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  return {
    address,
    statuses,
    peers,
    close: async () => {
      const closed = [agent, server].map((each) => new Promise<void>((resolve) => each.close(() => resolve())));
      agent.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
    },
  };
};

/** Runs commands of nodes as child processes of the test. */
export const processHost = (off: ReadonlySet<string>, environment: Record<string, string> = {}): NodeHost => ({
  isOn: (instanceId) => !off.has(instanceId),
  run: (_instanceId, command: NodeCommand) =>
    new Promise((resolve) => {
      const child = spawn("/bin/sh", ["-c", command.script.join("\n")], {
        env: { PATH: "/usr/bin:/bin", ...environment, ...command.environment },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      let [stdout, stderr, timedOut] = ["", "", false];
      child.stdout.on("data", (chunk) => {
        stdout += chunk;
      });
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
      });
      const kill = (): void => {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
      };
      const timer = setTimeout(() => {
        timedOut = true;
        kill();
      }, command.timeoutMs);
      command.signal.addEventListener("abort", kill, { once: true });
      child.on("close", (exitCode) => {
        clearTimeout(timer);
        command.signal.removeEventListener("abort", kill);
        resolve({ exitCode, stdout, stderr, timedOut });
      });
    }),
});

/** The `p`-th percentile, 0 to 100. */
export const percentile = (values: readonly number[], p: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))] ?? Number.NaN;
};
