import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { ensureMysql } from "#lab/cache/index.ts";
import { type LabOptionFile, labOptionFile } from "#lab/option-file.ts";
import { waitFor } from "#node/lib/host/wait.ts";
import { connectMysql, type MysqlConnection } from "#node/lib/mysql/connection.ts";
import { type IncarnationSource, makeIncarnation } from "#node/lib/mysql/incarnation.ts";
import { initialiseDataDirectory, type PrivateMysqld } from "#node/lib/mysql/initialise.ts";
import { type MysqlServer, makeMysqlServer } from "#node/lib/mysql/server.ts";
import { writeServerOptions } from "#node/lib/mysql/server-options.ts";

/** One mysqld of a test. */
export interface TestServer {
  readonly serverId: number;
  readonly address: string;
  readonly port: number;
  readonly socketPath: string;
  readonly datadir: string;
  /** A folder that mysqld may write to and that is removed at the end. */
  readonly folder: string;
  /** How to start a private mysqld with this one's options. */
  readonly program: Omit<PrivateMysqld, "datadir">;
  readonly server: MysqlServer;
  readonly incarnation: IncarnationSource;
  /** Starts mysqld on the data directory and waits until it answers. */
  start(): Promise<void>;
  /** Ends mysqld and waits for it. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  pid(): number;
  /** A new session, as root by the socket unless told otherwise. It is closed at the end. */
  connect(options?: { user?: string; password?: string; host?: string }): Promise<MysqlConnection>;
  /** Runs statements as root; the rows of the last. */
  sql(...statements: string[]): Promise<Readonly<Record<string, string | null>>[]>;
  /** What mysqld has logged. */
  errorLog(): Promise<string>;
}

/** Servers of one test file. */
export interface TestServers {
  /** A server with an initialised data directory, started unless told otherwise. Each has its own address, 127.0.{n}.{id}. */
  add(options?: { started?: boolean; empty?: boolean }): Promise<TestServer>;
  /** Ends all servers and removes their folders. */
  close(): Promise<void>;
}

const freePort = async (address: string): Promise<number> => {
  const probe = createServer();
  probe.listen(0, address);
  await once(probe, "listening");
  const found = probe.address();
  probe.close();
  await once(probe, "close");
  if (found === null || typeof found === "string") throw new Error(`No free port at ${address}.`);
  return found.port;
};

/** Makes servers for one test file. */
export const makeTestServers = async (): Promise<TestServers> => {
  const mysql = await ensureMysql(() => {});
  const root = await mkdtemp(join(tmpdir(), "pa-mysql-"));
  const osUser = userInfo().username;
  const servers: TestServer[] = [];
  const net = 64 + (process.pid % 128);
  let initialised: Promise<string> | undefined;

  const emptyServer = async (serverId: number): Promise<TestServer> => {
    const folder = join(root, String(serverId));
    const includeDir = join(folder, "conf.d");
    const stateDir = join(folder, "state");
    for (const path of [folder, includeDir, stateDir]) await mkdir(path);
    const address = `127.0.${net}.${serverId}`;
    const places: LabOptionFile = {
      datadir: join(folder, "data"),
      socket: join(folder, "socket"),
      pidFile: join(folder, "pid"),
      errorLog: join(folder, "error.log"),
      includeDir,
      address,
      port: await freePort(address),
      adminPort: await freePort(address),
    };
    const defaultsFile = join(folder, "mysqld.cnf");
    await writeFile(defaultsFile, await labOptionFile(places));
    await writeServerOptions(includeDir, { serverId, reportHost: address });
    const program = { mysqld: mysql.mysqld, defaultsFile, osUser };
    const incarnation = makeIncarnation(stateDir);
    const opened: MysqlConnection[] = [];
    const server = makeMysqlServer({
      connect: () => connectMysql({ socketPath: places.socket, user: "root" }),
      incarnation,
    });
    let child: ChildProcess | undefined;
    const connect: TestServer["connect"] = async ({ user = "root", password, host } = {}) => {
      const connection = await connectMysql({
        ...(host === undefined ? { socketPath: places.socket } : { host, port: places.port }),
        user,
        ...(password === undefined ? {} : { password }),
      });
      opened.push(connection);
      return connection;
    };
    return {
      serverId,
      address,
      port: places.port,
      socketPath: places.socket,
      datadir: places.datadir,
      folder,
      program,
      server,
      incarnation,
      connect,
      start: async () => {
        const started = spawn(mysql.mysqld, [`--defaults-file=${defaultsFile}`, `--user=${osUser}`], {
          stdio: "ignore",
        });
        child = started;
        let last = "";
        await waitFor(
          `mysqld ${serverId} to answer`,
          async () => {
            if (started.exitCode !== null) throw new Error(`mysqld ended: ${await readFile(places.errorLog, "utf8")}`);
            return server.serverFacts().catch((error: unknown) => {
              last = String(error);
              return undefined;
            });
          },
          { everyMs: 50, deadlineMs: 60_000, lastSeen: () => last },
        );
      },
      stop: async (signal = "SIGTERM") => {
        const running = child;
        child = undefined;
        if (!running || running.exitCode !== null || running.signalCode !== null) return;
        await Promise.all([server.close(), ...opened.splice(0).map((connection) => connection.close())]);
        const exit = once(running, "exit");
        running.kill(signal);
        const tooLong = setTimeout(() => running.kill("SIGKILL"), 30_000);
        await exit;
        clearTimeout(tooLong);
      },
      signal: (signal) => void child?.kill(signal),
      pid: () => child?.pid ?? 0,
      sql: async (...statements) => {
        const connection = await connect();
        let rows: Readonly<Record<string, string | null>>[] = [];
        for (const statement of statements) rows = await connection.query(statement, [], { timeoutMs: 30_000 });
        await connection.close();
        return rows;
      },
      errorLog: () => readFile(places.errorLog, "utf8"),
    };
  };

  /** One initialised data directory, of which the servers get copies without its identity. */
  const template = async (program: TestServer["program"]): Promise<string> => {
    const datadir = join(root, "initialised");
    await mkdir(datadir);
    await initialiseDataDirectory({ ...program, datadir });
    await rm(join(datadir, "auto.cnf"), { force: true });
    return datadir;
  };

  return {
    add: async ({ started = true, empty = false } = {}) => {
      const server = await emptyServer(servers.length + 1);
      servers.push(server);
      if (empty) return server;
      initialised ??= template(server.program);
      await cp(await initialised, server.datadir, { recursive: true });
      if (started) await server.start();
      return server;
    },
    close: async () => {
      await Promise.all(servers.map((server) => server.stop("SIGKILL")));
      await rm(root, { recursive: true, force: true });
    },
  };
};
