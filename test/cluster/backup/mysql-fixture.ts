import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Connection, createConnection } from "mysql2/promise";
import { ensureMysql, reportLines } from "#lab/cache/index.ts";
import type { CloneSource } from "#node/lib/backup/clone-engine.ts";
import { endProcess, freePort } from "../ministack.ts";

/** A real mysqld on loopback. */
export interface TestServer {
  readonly datadir: string;
  readonly defaultsFile: string;
  readonly mysqld: string;
  readonly port: number;
  readonly process: ChildProcess;
  connect(): Promise<Connection>;
  /** First value of the first row, as text. */
  value(sql: string): Promise<string>;
  stop(): Promise<void>;
}

const optionFile = (folder: string, name: string, id: number, port: number, adminPort: number): string => `[mysqld]
user=root
datadir=${join(folder, name)}
socket=${join(folder, `${name}.sock`)}
pid-file=${join(folder, `${name}.pid`)}
log-error=${join(folder, `${name}.log`)}
bind-address=127.0.0.1
port=${port}
admin-address=127.0.0.1
admin-port=${adminPort}
mysqlx=OFF
server-id=${id}
gtid-mode=ON
enforce-gtid-consistency=ON
log-bin=binlog
skip-replica-start=ON
super-read-only=ON
replica-parallel-workers=4
performance-schema=OFF
innodb-buffer-pool-size=64M
loose-plugin-load-add=mysql_clone.so
`;

/** Starts a server on a data directory `folder/name`; initialises it when it is not there. */
export const startServer = async (folder: string, name: string, id: number): Promise<TestServer> => {
  const { mysqld } = await ensureMysql(reportLines((line) => void process.stderr.write(`${line}\n`)));
  const datadir = join(folder, name);
  const defaultsFile = join(folder, `${name}.cnf`);
  const port = await freePort();
  await mkdir(folder, { recursive: true });
  await writeFile(defaultsFile, optionFile(folder, name, id, port, await freePort()));
  const fresh = await mkdir(datadir, { recursive: true });
  if (fresh !== undefined) {
    const initialise = spawn(mysqld, [`--defaults-file=${defaultsFile}`, "--initialize-insecure"], { stdio: "ignore" });
    await once(initialise, "exit");
  }
  const child = spawn(mysqld, [`--defaults-file=${defaultsFile}`], { stdio: "ignore" });
  const connect = () =>
    createConnection({
      socketPath: join(folder, `${name}.sock`),
      user: "root",
      supportBigNumbers: true,
      bigNumberStrings: true,
    });
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      (await connect()).destroy();
      break;
    } catch (error) {
      if (child.exitCode === null && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      await endProcess(child, "SIGKILL");
      throw new Error(
        `${name} did not start: ${String(error)}\n${await readFile(join(folder, `${name}.log`), "utf8")}`,
      );
    }
  }
  return {
    datadir,
    defaultsFile,
    mysqld,
    port,
    process: child,
    connect,
    value: async (sql) => {
      const connection = await connect();
      try {
        const [rows] = await connection.query({ sql, rowsAsArray: true });
        return String((rows as unknown[][])[0]?.[0]);
      } finally {
        connection.destroy();
      }
    },
    stop: () => endProcess(child),
  };
};

/** What the clone engine asks of a server. */
export const cloneSourceOf = (server: TestServer): CloneSource => ({
  cloneLocal: async (dir, signal) => {
    const connection = await server.connect();
    const stop = () => connection.destroy();
    signal.addEventListener("abort", stop);
    try {
      await connection.query("CLONE LOCAL DATA DIRECTORY = ?", [dir]);
    } finally {
      signal.removeEventListener("abort", stop);
      connection.destroy();
    }
  },
  serverFacts: async () => ({
    server_uuid: await server.value("SELECT @@GLOBAL.server_uuid"),
    server_version: (await server.value("SELECT VERSION()")).replace(/-.*/, ""),
    lower_case_table_names: 0,
    page_size: Number(await server.value("SELECT @@GLOBAL.innodb_page_size")),
  }),
});

/** Waits for a state, with a deadline. */
export const until = async (what: string, holds: () => Promise<boolean>, deadlineMs = 60_000): Promise<void> => {
  const deadline = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
