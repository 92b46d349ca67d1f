import { execFile } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeScriptOptions, repositoryRoot } from "../../../rolldown.config.ts";
import { startSink } from "./s3-sink.ts";

/** GB of data; three times that is needed on the disk. */
const gigabytes = Number(process.env.LARGE_COPY_GB ?? "1");
const mostBytes = 200_000_000;
const source = fileURLToPath(new URL("./large-copy-process.ts", import.meta.url));
let folder: string;
let sink: Awaited<ReturnType<typeof startSink>>;

/** The same bytes each time, which do not compress. */
function* pseudoRandom(bytes: number): Generator<Buffer> {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), Buffer.alloc(16));
  const zeros = Buffer.alloc(1_000_000);
  for (let made = 0; made < bytes; made += zeros.length) yield cipher.update(zeros);
}

const sha256 = async (path: string): Promise<string> => {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
};

const run = async (what: string, where: string): Promise<{ bytes: number; seconds: number; peakBytes: number }> => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(folder, "copy.mjs"), what, where, join(folder, "manifest.json")],
    {
      env: {
        ...process.env,
        AWS_ENDPOINT_URL_S3: sink.endpoint,
        AWS_ACCESS_KEY_ID: "test",
        AWS_SECRET_ACCESS_KEY: "test",
      },
    },
  );
  const figures = JSON.parse(stdout) as { bytes: number; seconds: number; peakBytes: number };
  const rate = figures.bytes / 1e6 / figures.seconds;
  console.log(
    `${what} of ${(figures.bytes / 1e9).toFixed(1)} GB: ${figures.seconds.toFixed(1)} s, ${rate.toFixed(0)} MB/s, at most ${(figures.peakBytes / 1e6).toFixed(0)} MB of memory`,
  );
  return figures;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "large-test-"));
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < gigabytes * 3.5e9) throw new Error(`${folder} lacks room for ${gigabytes * 3.5} GB`);
  await mkdir(join(folder, "data"));
  await pipeline(
    Readable.from(pseudoRandom(gigabytes * 1e9), { objectMode: false }),
    createWriteStream(join(folder, "data", "large.ibd")),
  );
  // As it is shipped: one file, nothing to compile.
  const { output: _, ...options } = nodeScriptOptions(repositoryRoot, "agent");
  const bundle = await rolldown({ ...options, input: source, logLevel: "silent" });
  await bundle.write({ file: join(folder, "copy.mjs"), format: "esm", codeSplitting: false });
  sink = await startSink(join(folder, "sink"));
});

afterAll(async () => {
  await sink?.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a copy that is much larger than the memory", () => {
  it("is backed up in less than 200 MB", async () => {
    expect((await run("backup", join(folder, "data"))).peakBytes).toBeLessThan(mostBytes);
  });

  it("is restored in less than 200 MB, byte for byte", async () => {
    expect((await run("restore", join(folder, "restored"))).peakBytes).toBeLessThan(mostBytes);
    expect(await sha256(join(folder, "restored", "large.ibd"))).toBe(await sha256(join(folder, "data", "large.ibd")));
  });
});
