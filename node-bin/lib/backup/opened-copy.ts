import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "#contract/failure-reasons.ts";
import { pause } from "../host/wait.ts";
import { connectMysql, type MysqlConnection } from "../mysql/connection.ts";
import { giveTo, ownerOf, saysDiskFull } from "./disk.ts";

/** How this node starts a mysqld. */
export interface ServerProgram {
  /** mysqld itself. */
  readonly mysqld: string;
  /** Option file of the running server: page size, case of table names and key ring must be the same. */
  readonly defaultsFile: string;
  /** System user that mysqld runs as. */
  readonly osUser: string;
}

const timeoutMs = 60_000;
/** Process id and folder of the socket, written by us: mysqld writes its own file only when recovery is over. */
const pidFile = "started.pid";
const socketPrefix = join(tmpdir(), "percona-copy-");
const binlog = "binlog";

/**
 * Options that make a server of a copy: nobody can connect but through its own socket, nothing replicates, nothing is written
 * outside the copy and `run`, and it takes little memory (150 MB measured).
 */
const options = (copy: string, run: string, socket: string, osUser: string): string[] => [
  `--user=${osUser}`,
  `--datadir=${copy}`,
  // The option file may place these outside of the data directory, and there they are the running server's.
  `--innodb-data-home-dir=${copy}`,
  `--innodb-log-group-home-dir=${copy}`,
  `--innodb-undo-directory=${copy}`,
  `--innodb-doublewrite-dir=${copy}`,
  `--socket=${socket}`,
  `--pid-file=${join(run, "mysqld.pid")}`,
  `--log-error=${join(run, "error.log")}`,
  "--log-error-verbosity=2",
  `--log-bin=${join(run, binlog)}`,
  `--log-bin-index=${join(run, `${binlog}.index`)}`,
  `--relay-log=${join(run, "relay")}`,
  `--relay-log-index=${join(run, "relay.index")}`,
  "--skip-grant-tables",
  "--skip-networking",
  "--skip-replica-start",
  "--loose-mysqlx=OFF",
  "--event-scheduler=DISABLED",
  "--read-only=OFF",
  "--super-read-only=OFF",
  "--loose-rpl-semi-sync-source-enabled=OFF",
  "--loose-rpl-semi-sync-replica-enabled=OFF",
  "--general-log=OFF",
  "--slow-query-log=OFF",
  // A newer program than the running server must not change the copy's dictionary.
  "--upgrade=NONE",
  "--performance-schema=OFF",
  "--loose-auto-generate-certs=OFF",
  "--loose-caching-sha2-password-auto-generate-rsa-keys=OFF",
  "--loose-sha256-password-auto-generate-rsa-keys=OFF",
  "--innodb-buffer-pool-size=32M",
  "--innodb-buffer-pool-load-at-startup=OFF",
  "--innodb-buffer-pool-dump-at-shutdown=OFF",
  "--innodb-redo-log-capacity=16M",
  "--innodb-log-buffer-size=1M",
  "--innodb-fast-shutdown=1",
  // The copy is worth nothing until it is packed and sent, so a crash of the machine may take it.
  "--innodb-doublewrite=OFF",
  "--innodb-flush-log-at-trx-commit=2",
  "--sync-binlog=0",
  "--table-open-cache=64",
  "--table-definition-cache=400",
  "--key-buffer-size=8192",
  "--max-connections=5",
];

/** What the server of a copy said about it. */
export interface OpenedCopy {
  /** `gtid_executed` of exactly the transactions that the copy holds. */
  readonly gtidSet: string;
}

/**
 * Opens a cloned data directory with a server of its own, asks it which transactions it holds, and shuts it down cleanly.
 *
 * This is the only exact answer. What the running server says before the clone lacks transactions that were copied, what it says after
 * has transactions that were not, and the copied tables on disk are behind the redo and undo logs beside them: InnoDB keeps
 * the GTID of a transaction together with the transaction, and recovery of the copy puts them together. It also proves that the
 * copy can be opened, and does the recovery once instead of at every restore. Errors: `disk-full`, `backup-failed` with the server's words, `interrupted`.
 */
export const openCopy = async (
  { mysqld, defaultsFile, osUser }: ServerProgram,
  copy: string,
  run: string,
  signal: AbortSignal,
): Promise<OpenedCopy> => {
  const owner = await ownerOf(copy);
  await mkdir(run, { mode: 0o700 });
  await giveTo(run, owner);
  // Not in `run`: the path of a socket has at most 107 bytes.
  const socketFolder = await mkdtemp(socketPrefix);
  await giveTo(socketFolder, owner);
  const socket = join(socketFolder, "s");
  const child = spawn(mysqld, [`--defaults-file=${defaultsFile}`, ...options(copy, run, socket, osUser)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (said.length < 4000) said += text;
  });
  let exit: string | undefined;
  const ended = once(child, "close").then(
    ([code, by]) => {
      exit = code === null ? `was ended by ${by}` : `ended with code ${code}`;
    },
    (error: unknown) => {
      exit = `could not be started: ${String(error)}`;
    },
  );
  try {
    if (child.pid !== undefined) await writeFile(join(run, pidFile), `${child.pid}\n${socketFolder}\n`);
    const connection = await connect(socket, () => exit !== undefined, signal);
    if (!connection) throw await notOpened(exit ?? "did not answer", said, run);
    const [row] = await connection.query("SELECT @@GLOBAL.gtid_executed AS gtid_set", [], { timeoutMs });
    const gtidSet = row?.gtid_set ?? "";
    await connection.close();
    child.kill("SIGTERM");
    await Promise.race([ended, aborted(signal)]);
    if (exit !== "ended with code 0") throw await notOpened(exit ?? "did not end", said, run);
    return { gtidSet: gtidSet.replaceAll(/\s/g, "") };
  } finally {
    if (exit === undefined) {
      child.kill("SIGKILL");
      await ended;
    }
    await rm(socketFolder, { recursive: true, force: true });
  }
};

/** Ends a server that a killed run left on its copy, so that the copy can be removed. */
export const endLeftServer = async (copy: string, run: string): Promise<void> => {
  const text = await readFile(join(run, pidFile), "utf8").catch(() => "");
  const [first = "", socketFolder = ""] = text.split("\n");
  const pid = Number.parseInt(first, 10);
  const isOurs = async (): Promise<boolean> => {
    if (!(pid > 1)) return false;
    const argv = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return argv.split("\0").includes(`--datadir=${copy}`);
  };
  if (await isOurs()) process.kill(pid, "SIGKILL");
  while (await isOurs()) await pause(50);
  if (socketFolder.startsWith(socketPrefix)) await rm(socketFolder, { recursive: true, force: true });
};

const connect = async (
  socketPath: string,
  hasEnded: () => boolean,
  signal: AbortSignal,
): Promise<MysqlConnection | undefined> => {
  while (!hasEnded()) {
    signal.throwIfAborted();
    try {
      return await connectMysql({ socketPath, user: "root" });
    } catch {
      // Recovery takes as long as the redo log is; the end of the process or of the caller's patience ends the wait.
      await pause(50, signal);
    }
  }
  return undefined;
};

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });

const notOpened = async (exit: string, said: string, run: string): Promise<Failure> => {
  const log = await readFile(join(run, "error.log"), "utf8").catch(() => "");
  const errors = log.split("\n").filter((line) => line.includes("[ERROR]"));
  const words = [...errors.slice(-5), said.trim()].filter((line) => line !== "").join(" ");
  const message = `The copy could not be opened: its mysqld ${exit}. It said: ${words || "nothing"}`;
  return new Failure(saysDiskFull(words) ? "disk-full" : "backup-failed", { message });
};
