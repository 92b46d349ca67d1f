import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, onTestFailed } from "vitest";
import { agentPaths } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import { ensureHaproxy } from "#lab/cache/index.ts";
import { labForwarderConfig } from "#lab/forwarder-config.ts";
import type { Desired } from "#node/lib/forwarder/changes.ts";
import { type Forwarder, makeForwarder } from "#node/lib/forwarder/forwarder.ts";

/** A stand-in for a node: a server that greets with its name and echoes, and an agent that answers the health checks. */
export interface StandIn {
  readonly name: string;
  readonly address: string;
  /** What its agent says. */
  says: "primary" | "replica" | "neither";
  /** Connections that its server has accepted. */
  accepted(): number;
  stopServer(): Promise<void>;
  /** Its server is there and answers nobody, not even with a SYN-ACK. */
  silenceServer(): Promise<void>;
  startServer(): Promise<void>;
  stopAgent(): Promise<void>;
  startAgent(): Promise<void>;
}

/** One client's connection. */
export interface Client {
  /** Resolves with the name of the server that greeted it. @throws when the connection ends before. */
  greeted(): Promise<string>;
  /** Milliseconds of `performance.now()`, of the greeting. */
  readonly greetedAt: number;
  readonly name: string | undefined;
  readonly ended: boolean;
  readonly endedAt: number;
  /** Whether the server still echoes. */
  alive(): Promise<boolean>;
  close(): void;
}

/** HAProxy on the first node's address with stand-ins behind it. */
export interface Rig {
  readonly nodes: readonly [StandIn, StandIn, StandIn];
  readonly forwarder: Forwarder;
  desired(primary: StandIn | undefined, cut?: readonly StandIn[], nodes?: readonly StandIn[]): Desired;
  /** A node says that it is the primary, and HAProxy is told. */
  makePrimary(node: StandIn, cut?: readonly StandIn[]): Promise<void>;
  write(): Client;
  read(): Client;
  /** Kills HAProxy and starts it anew. */
  restartHaproxy(): Promise<void>;
}

const silentServer = `
const [address, port] = process.argv.slice(1);
require("net").createServer().listen({ host: address, port: Number(port), backlog: 1 }, () => {
  require("fs").writeSync(1, "there");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

const listen = async (server: Server | HttpServer, port: number, host: string): Promise<void> => {
  server.listen({ port, host, backlog: 511 });
  await once(server, "listening");
};

const isConnected = async (socket: Socket): Promise<boolean> => {
  const connected = once(socket, "connect").then(() => true);
  connected.catch(() => {});
  return Promise.race([connected, delay(300).then(() => false)]);
};

const makeStandIn = async (name: string, address: string, ending: (() => Promise<void> | void)[]) => {
  const sessions = new Set<Socket>();
  let accepted = 0;
  let server: Server | undefined;
  let agent: HttpServer | undefined;
  let silent: { child: ChildProcess; fillers: Socket[] } | undefined;
  const standIn: StandIn = {
    name,
    address,
    says: "neither",
    accepted: () => accepted,
    startServer: async () => {
      silent?.child.kill("SIGKILL");
      for (const filler of silent?.fillers ?? []) filler.destroy();
      silent = undefined;
      server = createServer({ noDelay: true }, (socket) => {
        accepted += 1;
        sessions.add(socket);
        socket.on("close", () => sessions.delete(socket)).on("error", () => {});
        socket.write(`${name}\n`);
        socket.pipe(socket);
      });
      await listen(server, ports.mysql, address);
    },
    stopServer: async () => {
      const closed = server === undefined ? undefined : once(server, "close");
      server?.close();
      for (const session of sessions) session.resetAndDestroy();
      await closed;
      server = undefined;
    },
    silenceServer: async () => {
      await standIn.stopServer();
      const child = spawn(process.execPath, ["-e", silentServer, address, String(ports.mysql)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const fillers: Socket[] = [];
      silent = { child, fillers };
      await once(child.stdout, "data");
      // The kernel accepts connections until the queue is full.
      for (let full = false; !full; ) {
        const filler = connect(ports.mysql, address).on("error", () => {});
        fillers.push(filler);
        full = !(await isConnected(filler));
      }
    },
    startAgent: async () => {
      agent = createHttpServer((request, response) => {
        const path = new URL(request.url ?? "/", "http://agent").pathname;
        const good =
          (path === agentPaths.primary && standIn.says === "primary") ||
          (path === agentPaths.replica && standIn.says === "replica");
        response.writeHead(good ? 200 : 503).end();
      });
      await listen(agent, ports.agent, address);
    },
    stopAgent: async () => {
      const closed = agent === undefined ? undefined : once(agent, "close");
      agent?.close();
      agent?.closeAllConnections();
      await closed;
      agent = undefined;
    },
  };
  await standIn.startServer();
  await standIn.startAgent();
  ending.push(async () => {
    silent?.child.kill("SIGKILL");
    for (const filler of silent?.fillers ?? []) filler.destroy();
    await Promise.all([standIn.stopServer(), standIn.stopAgent()]);
  });
  return standIn;
};

const makeClient = (port: number, address: string): Client & { socket: Socket } => {
  const socket = connect({ port, host: address, noDelay: true });
  const greeting = Promise.withResolvers<string>();
  greeting.promise.catch(() => {});
  let heard = "";
  const client = {
    socket,
    greeted: () => greeting.promise,
    greetedAt: 0,
    endedAt: 0,
    name: undefined as string | undefined,
    ended: false,
    alive: async () => {
      if (client.ended) return false;
      const word = `${randomInt(1e9)}`;
      socket.write(word);
      for (const until = performance.now() + 2000; performance.now() < until && !client.ended; await delay(1)) {
        if (heard.includes(word)) return true;
      }
      return false;
    },
    close: () => {
      socket.destroy();
    },
  };
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    heard += text;
    if (client.name !== undefined || !heard.includes("\n")) return;
    client.name = heard.slice(0, heard.indexOf("\n"));
    client.greetedAt = performance.now();
    greeting.resolve(client.name);
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    client.ended = true;
    client.endedAt = performance.now();
    greeting.reject(new Error("The connection ended before a server greeted."));
  });
  return client;
};

/** Rigs of one test file, each ended with its test. */
export const useRigs = (): (() => Promise<Rig>) => {
  const ending: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const end of ending.splice(0).reverse()) await end();
  });
  return async () => {
    const { haproxy } = await ensureHaproxy(() => {});
    const folder = await mkdtemp(join(tmpdir(), "forwarder-"));
    ending.push(() => rm(folder, { recursive: true, force: true }));
    const network = `127.${randomInt(130, 250)}.${randomInt(1, 250)}`;
    const nodes = [
      await makeStandIn("one", `${network}.1`, ending),
      await makeStandIn("two", `${network}.2`, ending),
      await makeStandIn("three", `${network}.3`, ending),
    ] as const;
    const address = nodes[0].address;
    const socket = join(folder, "haproxy.sock");
    const config = join(folder, "haproxy.cfg");
    await writeFile(config, await labForwarderConfig({ address, socket, maxReplicaLagSeconds: 30 }));
    let said = "";
    onTestFailed(() => {
      process.stderr.write(said);
    });
    let child: ChildProcess | undefined;
    const start = async (): Promise<void> => {
      const started = spawn(haproxy, ["-db", "-f", config], { stdio: ["ignore", "pipe", "pipe"] });
      child = started;
      for (const stream of [started.stdout, started.stderr]) stream.on("data", (part) => (said += String(part)));
      for (const until = performance.now() + 5000; ; await delay(5)) {
        if (await forwarder.seen().then(Boolean, () => false)) return;
        if (performance.now() > until) throw new Error(`HAProxy did not start: ${said}`);
      }
    };
    const stop = async (): Promise<void> => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    };
    const forwarder = makeForwarder({ socket });
    await start();
    ending.push(stop);
    const clients: Client[] = [];
    ending.push(() => {
      for (const client of clients) client.close();
    });
    const client = (port: number): Client => {
      const made = makeClient(port, address);
      clients.push(made);
      return made;
    };
    const desired: Rig["desired"] = (primary, cut = [], all = nodes) => ({
      nodes: all.map((node) => ({ address: node.address })),
      primary: primary?.address,
      cut: cut.map((node) => node.address),
    });
    return {
      nodes,
      forwarder,
      desired,
      makePrimary: async (node, cut) => {
        node.says = "primary";
        await forwarder.apply(desired(node, cut));
      },
      write: () => client(ports.forwardWrite),
      read: () => client(ports.forwardRead),
      restartHaproxy: async () => {
        await stop();
        await start();
      },
    };
  };
};

/** So many clients, connecting one after the other. */
export const several = async (count: number, make: () => Client, apartMs = 5): Promise<Client[]> => {
  const made: Client[] = [];
  for (let at = 0; at < count; at += 1) {
    made.push(make());
    await delay(apartMs);
  }
  return made;
};

/** Waits until `look` holds. @throws after the deadline. */
export const eventually = async (what: string, look: () => boolean | Promise<boolean>, deadlineMs: number) => {
  const began = performance.now();
  while (!(await look())) {
    if (performance.now() - began > deadlineMs) throw new Error(`Waited ${deadlineMs} ms in vain until ${what}.`);
    await delay(2);
  }
  return performance.now() - began;
};
