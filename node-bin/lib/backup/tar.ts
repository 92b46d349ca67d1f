import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { Failure } from "#contract/failure-reasons.ts";
import { collectingDeadBuffers } from "./dead-buffers.ts";
import { type Owner, saysDiskFull } from "./disk.ts";

/** The fastest level: one core compresses what a disk reads, and a table's pages gain little from a higher one. */
const level = 1;

interface Tar {
  readonly child: ChildProcess;
  /** Ends when tar has; throws with what it said when it did not end well. */
  readonly ended: Promise<void>;
}

const startTar = (
  args: readonly string[],
  stdio: ["ignore", "pipe", "pipe"] | ["pipe", "ignore", "pipe"],
  owner?: Owner,
): Tar => {
  const child = spawn("tar", args, { stdio, env: { ...process.env, LC_ALL: "C" }, ...owner });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    if (said.length < 4000) said += text;
    // It would go on to the end of the stream with whatever files still fit.
    if (saysDiskFull(said)) child.kill("SIGKILL");
  });
  const ended = (async () => {
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    if (code === 0) return;
    const words = said.trim().replaceAll(/\s*\n\s*/g, "; ") || "nothing";
    if (saysDiskFull(said)) throw new Failure("disk-full", { message: `The disk is full. tar said: ${words}.` });
    throw new Error(`tar ${code === null ? `was ended by ${signal}` : `ended with code ${code}`} and said: ${words}`);
  })();
  // Whoever reads or writes the stream waits for it; until then a failure is not an unhandled one.
  ended.catch(() => {});
  return { child, ended };
};

/**
 * The files below a folder as one packed stream, tar in zstd. Reading it drives the work, a slow reader slows it. It ends without an
 * error only when tar ended well.
 */
export const packFolder = (folder: string, options: { readonly exclude?: readonly string[] } = {}): Readable => {
  async function* packed(): AsyncGenerator<Uint8Array> {
    const tar = startTar(
      [
        "--create",
        "--file=-",
        "--format=posix",
        "--sparse",
        "--sort=name",
        `--directory=${folder}`,
        ...(options.exclude ?? []).map((path) => `--exclude=./${path}`),
        ".",
      ],
      ["ignore", "pipe", "pipe"],
    );
    const zstd = createZstdCompress({
      chunkSize: 64 * 1024,
      params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
    });
    try {
      const moved = pipeline(tar.child.stdout as Readable, collectingDeadBuffers(), zstd);
      moved.catch(() => {});
      for await (const chunk of zstd as AsyncIterable<Uint8Array>) yield chunk;
      await moved;
      await tar.ended;
    } finally {
      tar.child.kill("SIGKILL");
      zstd.destroy();
    }
  }
  return Readable.from(packed(), { objectMode: false, highWaterMark: 1024 * 1024 });
};

/** A folder that is being filled from a packed stream. */
export interface Unpacking {
  /** Takes the next bytes; waits while the disk is slower than the source. Errors: as `end`. */
  write(bytes: Uint8Array): Promise<void>;
  /** All bytes were given. Errors: `disk-full`; otherwise what zstd or tar said. */
  end(): Promise<void>;
  /** Ends the processes; the folder stays as it is. */
  abort(): Promise<void>;
}

/** Unpacks into a folder that exists. As root, the files get the owner that is given. */
export const unpackInto = (folder: string, owner?: Owner): Unpacking => {
  const tar = startTar(
    ["--extract", "--file=-", "--preserve-permissions", "--no-same-owner", `--directory=${folder}`],
    ["pipe", "ignore", "pipe"],
    owner,
  );
  const zstd = createZstdDecompress({ chunkSize: 64 * 1024 });
  const unpacked = pipeline(zstd, collectingDeadBuffers(), tar.child.stdin as Writable).then(
    () => tar.ended,
    async (error: unknown) => {
      if (isZstdError(error)) tar.child.kill("SIGKILL");
      else {
        // tar's own words say more than the broken pipe that its end leaves.
        await tar.ended;
        // It ended well and had everything: it was only quicker to close the pipe than this side.
        if (zstd.readableEnded) return;
      }
      throw error;
    },
  );
  unpacked.catch(() => {});
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      const go = () => {
        zstd.off("drain", go).off("close", go);
        resolve();
      };
      zstd.on("drain", go).on("close", go);
    });
  return {
    write: async (bytes) => {
      if (!zstd.destroyed && !zstd.write(bytes)) await drained();
      if (zstd.destroyed) await unpacked;
    },
    end: async () => {
      zstd.end();
      await unpacked;
    },
    abort: async () => {
      zstd.destroy();
      tar.child.kill("SIGKILL");
      await unpacked.catch(() => {});
      await tar.ended.catch(() => {});
    },
  };
};

const isZstdError = (error: unknown): boolean => /^Z(STD)?_/.test(String((error as { code?: unknown }).code));
