import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import type { Readable } from "node:stream";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { contains, isEmpty, isSame, normalise, subtract } from "#contract/gtid.ts";
import type { Run } from "../host/run.ts";

/** Where MySQL's own packages put it. */
const usualPlace = "/usr/bin/mysqlbinlog";

/** The mysqlbinlog that belongs to this mysqld: the one beside it, otherwise where packages put it. */
export const findMysqlbinlog = async (mysqld: string): Promise<string> => {
  const beside = join(dirname(mysqld), "mysqlbinlog");
  return access(beside, constants.X_OK).then(
    () => beside,
    () => usualPlace,
  );
};

/**
 * A binlog has two events before its first transaction: its format, of 123 bytes or so, and the transactions of the files before it, of 31 or
 * more. The program goes on to the first event that begins here or behind, so this ends it just after those two.
 */
const afterPreviousGtids = 150;

/** The set of the files before, in what mysqlbinlog prints of a file's first events; undefined when it is not there. */
export const parsePreviousGtids = (text: string): string | undefined => {
  const lines = text.split("\n");
  const header = lines.findIndex((line) => /^#\d{6}.*\tPrevious-GTIDs$/.test(line));
  if (header === -1) return undefined;
  const sets: string[] = [];
  for (const line of lines.slice(header + 1)) {
    if (line === "# [empty]") return "";
    const found = /^# ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[^ ]+?),?$/i.exec(line);
    if (!found) break;
    sets.push(found[1] ?? "");
  }
  return sets.length === 0 ? undefined : normalise(sets.join(","));
};

/** Longest beginning of a line that is kept: that of one with a GTID has at most 100 bytes, while a line with a row has any length. */
const keptOfLine = 200;
const gtidLine = /^SET @@SESSION\.GTID_NEXT= '([0-9a-f-]{36}:[^']+)'/i;
/** So many are kept apart before they are joined to a set. */
const foldAfter = 5000;

/** Watches SQL that passes by and says of which transactions it is. */
export const gtidsInSql = () => {
  let line = Buffer.alloc(0);
  let gtids: string[] = [];
  const fold = (): string => {
    const set = normalise(gtids.join(","));
    gtids = set === "" ? [] : [set];
    return set;
  };
  const endLine = (): void => {
    const found = gtidLine.exec(line.toString("latin1"));
    line = Buffer.alloc(0);
    if (!found) return;
    gtids.push(found[1] ?? "");
    if (gtids.length > foldAfter) fold();
  };
  return {
    /** Takes the next bytes. */
    see: (chunk: Uint8Array): void => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let from = 0; from < bytes.length; ) {
        const end = bytes.indexOf(10, from);
        const part = bytes.subarray(from, end === -1 ? bytes.length : end);
        if (line.length < keptOfLine) line = Buffer.concat([line, part.subarray(0, keptOfLine - line.length)]);
        if (end === -1) return;
        endLine();
        from = end + 1;
      }
    },
    /** The set of all whole lines so far. */
    set: fold,
  };
};

/** Transactions of a server's own binlogs, as text for people. */
export interface BinlogText {
  /**
   * The binlogs, oldest first, outside of which there is no transaction of the set. None of them is written to any more: when the
   * newest is one of them a new one is begun first. Errors: those of the file system and of `rotate`; `errant-transactions`
   * with mysqlbinlog's words.
   */
  filesWith(gtidSet: string): Promise<string[]>;
  /**
   * The SQL of the transactions of the set in these files, the changes of rows as comments. Reading it drives the work. It ends
   * without an error only when mysqlbinlog ended well and the whole set has passed. Errors: `errant-transactions`.
   */
  sql(files: readonly string[], gtidSet: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

const failed = (message: string, cause?: unknown): Failure => new Failure("errant-transactions", { message, cause });

/** Times in UTC, and messages in English. */
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, LC_ALL: "C", TZ: "UTC" });

const wordsOf = (said: string): string => said.trim().replaceAll(/\s*\n\s*/g, "; ") || "nothing";

/** Where the binlogs are, and what reads them. */
export interface BinlogTextOptions {
  /** mysqlbinlog. */
  readonly program: string;
  /** The file that lists the binlogs. */
  readonly indexFile: string;
  readonly run: Run;
  /** Has mysqld begin a new binlog. */
  readonly rotate: () => Promise<void>;
}

/** Reads the binlogs' own files by the program mysqlbinlog, while mysqld goes on. */
export const makeBinlogText = ({ program, indexFile, run, rotate }: BinlogTextOptions): BinlogText => {
  const listed = async (): Promise<string[]> => {
    const names = (await readFile(indexFile, "utf8")).split("\n").filter((name) => name !== "");
    return names.map((name) => (isAbsolute(name) ? name : join(dirname(indexFile), name)));
  };

  const before = async (file: string): Promise<string | undefined> => {
    // Arguments of option files are those of clients and may not be this program's.
    const argv = [program, "--no-defaults", `--stop-position=${afterPreviousGtids}`, file] as const;
    const { exitCode, stdout, stderr } = await run(argv, { env: environment() });
    if (exitCode !== 0) throw failed(`${program} could not read ${file} and said: ${wordsOf(stderr)}.`);
    return parsePreviousGtids(stdout);
  };

  async function* sql(files: readonly string[], gtidSet: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    signal.throwIfAborted();
    const child = spawn(
      program,
      [
        "--no-defaults",
        `--include-gtids=${gtidSet}`,
        "--verbose",
        "--base64-output=DECODE-ROWS",
        "--print-table-metadata",
        ...files,
      ],
      { stdio: ["ignore", "pipe", "pipe"], env: environment() },
    );
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (said.length < 4000) said += text;
    });
    const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
    // Whoever reads to the end waits for it; until then a failure is not an unhandled one.
    ended.catch(() => {});
    const stop = (): void => void child.kill("SIGKILL");
    signal.addEventListener("abort", stop);
    const passing = gtidsInSql();
    try {
      // A program that could not be started has an output that was never opened; `ended` says why.
      if (child.pid !== undefined) {
        for await (const chunk of child.stdout as Readable as AsyncIterable<Buffer>) {
          passing.see(chunk);
          yield chunk;
        }
      }
      const [code, by] = await ended.catch((cause: unknown) => {
        throw failed(`${program} could not be started: ${messageOf(cause)}.`, cause);
      });
      signal.throwIfAborted();
      if (code !== 0) {
        const how = code === null ? `was ended by ${by}` : `ended with code ${code}`;
        throw failed(`${program} ${how} and said: ${wordsOf(said)}.`);
      }
      // It ends well too when a file is not the one that was meant.
      const missing = subtract(gtidSet, passing.set());
      if (!isEmpty(missing)) throw failed(`${program} found no ${missing} in ${files.join(", ")}.`);
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  /** The files with anything of the set, and whether the newest of all is one of them. */
  const find = async (gtidSet: string): Promise<{ readonly files: string[]; readonly open: boolean }> => {
    const files: string[] = [];
    const all = await listed();
    for (const file of [...all].reverse()) {
      const earlier = await before(file);
      if (earlier !== undefined && contains(earlier, gtidSet)) continue;
      files.unshift(file);
      if (earlier !== undefined && isSame(subtract(gtidSet, earlier), gtidSet)) break;
    }
    return { files, open: files.at(-1) === all.at(-1) };
  };

  return {
    filesWith: async (gtidSet) => {
      const found = await find(gtidSet);
      if (!found.open) return found.files;
      await rotate();
      return (await find(gtidSet)).files;
    },
    sql,
  };
};
