import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { runProgram } from "../host/run.ts";
import { userIds } from "../host/users.ts";
import { waitFor } from "../host/wait.ts";
import { connectMysql } from "./connection.ts";
import { type MysqlServer, makeMysqlServer } from "./server.ts";

/** A data directory, and the mysqld that works on it outside the node's service. */
export interface PrivateMysqld {
  readonly mysqld: string;
  readonly defaultsFile: string;
  /** Of its own: no other mysqld runs on it. */
  readonly datadir: string;
  /** The operating system's user that mysqld runs as. */
  readonly osUser: string;
  /** Statements that mysqld runs by itself before anybody can connect. */
  readonly initFile?: string;
}

const initialiseTimeoutMs = 300_000;
const startTimeoutMs = 300_000;
const stopTimeoutMs = 120_000;

/** A folder that only mysqld and root look into, with a path that is short enough for a socket; removed afterwards. */
const withRunFolder = async <T>(osUser: string, work: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await mkdtemp(join(tmpdir(), "mysqld-"));
  try {
    await giveTo(folder, osUser);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Makes a file the user's. Only root can; anybody else's mysqld runs as himself. */
const giveTo = async (path: string, osUser: string): Promise<void> => {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await userIds(runProgram, osUser);
  await chown(path, uid, gid);
};

/** The errors in mysqld's own log, the last few. */
const errorsIn = async (logFile: string): Promise<string> => {
  const text = await readFile(logFile, "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => /\[ERROR\]|mysqld: /.test(line));
  return lines.slice(-5).join(" | ") || "it logged no error";
};

const mysqldFailure = async (what: string, logFile: string): Promise<Failure> => {
  const errors = await errorsIn(logFile);
  const full = /No space left on device|\b(?:Errcode|OS errno|errno)[: ]*28\b|disk is full/i.test(errors);
  return new Failure(full ? "disk-full" : "internal", {
    message: `${what}: ${errors}.`,
    changed: "The unfinished data directory is discarded at the next run.",
    next: full
      ? "Make room or enlarge the volume. Running it again is safe."
      : "Correct what mysqld names. Running it again is safe.",
  });
};

const start = ({ mysqld, defaultsFile, datadir, osUser }: PrivateMysqld, options: readonly string[]): ChildProcess =>
  spawn(mysqld, [`--defaults-file=${defaultsFile}`, `--datadir=${datadir}`, `--user=${osUser}`, ...options], {
    stdio: "ignore",
  });

/** How the process ended, in words; never fails. */
const ending = async (child: ChildProcess): Promise<string> => {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) await once(child, "exit");
  return child.signalCode ?? `exit code ${child.exitCode}`;
};

const spawned = async (child: ChildProcess, mysqld: string): Promise<void> => {
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw new Failure("bad-input", {
      message: `mysqld cannot be started from ${mysqld}: ${messageOf(cause)}.`,
    });
  }
};

/**
 * Fills an empty folder with a new data directory. Its root has no password yet, so it is opened by `withPrivateServer` only,
 * until the accounts are made. Errors: `disk-full`; `bad-input` when mysqld or its user is not there; `internal` with what
 * mysqld logged.
 */
export const initialiseDataDirectory = async (options: PrivateMysqld): Promise<void> => {
  await giveTo(options.datadir, options.osUser);
  await withRunFolder(options.osUser, async (folder) => {
    const logFile = join(folder, "error.log");
    // Some of what a running node needs would keep mysqld from writing its own tables.
    const child = start(options, [
      "--initialize-insecure",
      "--super-read-only=OFF",
      "--read-only=OFF",
      `--log-error=${logFile}`,
      `--pid-file=${join(folder, "pid")}`,
    ]);
    await spawned(child, options.mysqld);
    const timer = setTimeout(() => child.kill("SIGKILL"), initialiseTimeoutMs);
    const end = await ending(child);
    clearTimeout(timer);
    if (child.exitCode !== 0) {
      throw await mysqldFailure(`mysqld --initialize-insecure in ${options.datadir} ended with ${end}`, logFile);
    }
  });
};

const stop = async (child: ChildProcess, logFile: string): Promise<void> => {
  child.kill("SIGTERM");
  let killed = false;
  const timer = setTimeout(() => {
    killed = true;
    child.kill("SIGKILL");
  }, stopTimeoutMs);
  const end = await ending(child);
  clearTimeout(timer);
  if (killed || child.exitCode !== 0) {
    throw await mysqldFailure(`The private mysqld did not shut down cleanly (${end})`, logFile);
  }
};

/**
 * Starts mysqld on a data directory that is in nobody's use, for work that must be done before others may see it: no
 * network, a socket in a folder of mode 0700, writable, replication not started. It is shut down cleanly afterwards, also when
 * the work fails. Transactions of the work are in the directory's binlog and executed set, except those made without the binlog.
 */
export const withPrivateServer = async <T>(
  options: PrivateMysqld,
  work: (server: MysqlServer) => Promise<T>,
): Promise<T> =>
  withRunFolder(options.osUser, async (folder) => {
    const logFile = join(folder, "error.log");
    const socketPath = join(folder, "socket");
    const child = start(options, [
      "--skip-networking",
      "--mysqlx=OFF",
      `--socket=${socketPath}`,
      `--pid-file=${join(folder, "pid")}`,
      `--log-error=${logFile}`,
      "--super-read-only=OFF",
      "--read-only=OFF",
      "--skip-replica-start",
      "--event-scheduler=OFF",
      ...(options.initFile === undefined ? [] : [`--init-file=${options.initFile}`]),
    ]);
    await spawned(child, options.mysqld);
    const server = makeMysqlServer({ connect: () => connectMysql({ socketPath, user: "root" }) });
    try {
      await waitFor(
        "the private mysqld to answer",
        async () => {
          if (child.exitCode !== null || child.signalCode !== null) {
            throw await mysqldFailure(
              `The private mysqld on ${options.datadir} ended with ${await ending(child)}`,
              logFile,
            );
          }
          try {
            return await server.serverFacts();
          } catch (error) {
            if (error instanceof Failure && error.reason === "credentials-refused") throw error;
            return undefined;
          }
        },
        { everyMs: 50, deadlineMs: startTimeoutMs },
      );
      return await work(server);
    } finally {
      await server.close();
      if (child.exitCode === null && child.signalCode === null) await stop(child, logFile);
    }
  });
