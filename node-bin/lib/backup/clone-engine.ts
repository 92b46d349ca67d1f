import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { bytesBelow, demandRoom, giveTo, ownerOf, saysDiskFull } from "./disk.ts";
import type { BackupEngine, CopyFacts } from "./engine.ts";
import { endLeftServer, openCopy, type ServerProgram } from "./opened-copy.ts";
import { humanBytes } from "./progress.ts";
import { packFolder } from "./tar.ts";

/** What the engine asks of the running server. */
export interface CloneSource {
  /** `CLONE LOCAL DATA DIRECTORY = dir`; `dir` must not exist, its parent must be the server's to write. */
  cloneLocal(dir: string, signal: AbortSignal): Promise<void>;
  serverFacts(): Promise<Pick<CopyFacts, "server_uuid" | "server_version" | "lower_case_table_names" | "page_size">>;
}

/** Where the engine works. */
export interface CloneEngineOptions {
  readonly source: CloneSource;
  /** Starts the server that opens the copy. */
  readonly program: ServerProgram;
  /** Of the running server: tells how large the copy will be, and whose. */
  readonly datadir: string;
  /** A folder of the engine's own, made when it is not there. On any disk that has the room; empty between copies. */
  readonly workDir: string;
}

/** Room that is left free beside a copy, so that the running server does not stop for want of it: a part of the copy, and at least this. */
const spare = { part: 0.1, atLeast: 64 * 1024 * 1024 } as const;

/** What a clone copies: not the binary logs, nor logs and sockets of people. */
const isCloned = (path: string): boolean =>
  /(\.ibd|\.ibu|\.ibz)$/.test(path) || /^(ibdata|undo_|#innodb_redo\/)/.test(path) || basename(path) === "mysql.ibd";

/**
 * Copies with MySQL's clone plugin into a folder, opens the copy once to know exactly which transactions it holds
 * (`opened-copy.ts` has why), and streams the folder. Needs room for a whole copy; does not stop writes.
 */
export const cloneEngine = ({ source, program, datadir, workDir }: CloneEngineOptions): BackupEngine => {
  const copy = join(workDir, "copy");
  const run = join(workDir, "run");
  const clear = async (): Promise<void> => {
    await endLeftServer(copy, run);
    for (const folder of [copy, run]) await rm(folder, { recursive: true, force: true });
  };
  const make = async (signal: AbortSignal, progress: (line: string) => void): Promise<CopyFacts> => {
    const size = await bytesBelow(datadir, isCloned);
    await mkdir(workDir, { recursive: true, mode: 0o750 });
    await giveTo(workDir, await ownerOf(datadir));
    await demandRoom(workDir, size + Math.max(size * spare.part, spare.atLeast), "A clone of the data directory");
    signal.throwIfAborted();
    const began = performance.now();
    const seconds = (): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;
    const { server_uuid, server_version, lower_case_table_names, page_size } = await source.serverFacts();
    await source.cloneLocal(copy, signal);
    progress(`cloned ${humanBytes(await bytesBelow(copy))} in ${seconds()}`);
    const { gtidSet } = await openCopy(program, copy, run, signal);
    progress(`opened the copy, which holds ${gtidSet || "no transaction"}, after ${seconds()}`);
    return {
      gtid_set: gtidSet,
      server_uuid,
      server_version,
      lower_case_table_names,
      page_size,
      data_bytes: await bytesBelow(copy),
    };
  };
  return {
    name: "clone",
    packing: "tar+zstd",
    suffix: "tar.zst",
    // The plugin has the server's version.
    version: async () => (await source.serverFacts()).server_version,
    copy: async ({ signal, progress }) => {
      await clear();
      try {
        const facts = await make(signal, progress);
        // The copy must not bring the identity of another server: two with one uuid throw each other out.
        const stream = packFolder(copy, { exclude: ["auto.cnf"] });
        return {
          stream,
          facts: async () => facts,
          discard: async () => {
            stream.destroy();
            await clear();
          },
        };
      } catch (error) {
        await clear();
        throw cloneFailure(error, signal, workDir);
      }
    },
  };
};

const cloneFailure = (error: unknown, signal: AbortSignal, workDir: string): Failure => {
  if (error instanceof Failure && !saysDiskFull(error)) return error;
  const said = messageOf(error);
  if (saysDiskFull(error)) {
    return new Failure("disk-full", {
      message: error instanceof Failure ? said : `The clone into ${workDir} ended: ${said}`,
      changed: "The unfinished copy was removed.",
      cause: error,
    });
  }
  if (signal.aborted) return new Failure("interrupted", { message: "The clone was stopped.", cause: error });
  return new Failure("backup-failed", { message: `The clone into ${workDir} failed: ${said}`, cause: error });
};
