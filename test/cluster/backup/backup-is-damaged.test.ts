import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { type Bucket, makeBucket } from "#node/lib/aws/s3.ts";
import { restoreFull } from "#node/lib/backup/restore.ts";
import { takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { folderEngine } from "./folder-engine.ts";
import { type Fault, type S3Server, s3At, startFaultyWay, startS3 } from "./s3-fixture.ts";

const mib = 1024 * 1024;
/** Small, so that a small backup has several objects. */
const sizes = { object: 6 * mib, part: 5 * mib };
let folder: string;
let data: string;
let s3: S3Server;
let bucket: Bucket;
let manifest: BackupManifest;
let second = Date.UTC(2026, 10, 21, 0, 0, 0);

const backUp = (into: Bucket, now: () => Date): Promise<BackupManifest> =>
  takeFullBackup({
    bucket: into,
    engine: folderEngine(data),
    clusterId: "demo",
    instanceId: "i-0123456789abcdef0",
    timeline: 1,
    formation: 1,
    assertStillHolding: async () => {},
    progress: () => {},
    signal: AbortSignal.timeout(60_000),
    sizes,
    now,
  });

const nextSecond = (): Date => {
  second += 1000;
  return new Date(second);
};

const restore = (from: Bucket, what: BackupManifest, intoDir: string, signal = AbortSignal.timeout(60_000)) =>
  restoreFull({ bucket: from, manifest: what, intoDir, signal, progress: () => {} });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "damaged-test-"));
  data = join(folder, "data");
  await mkdir(join(data, "mysql"), { recursive: true });
  await mkdir(join(data, "empty"), { mode: 0o700 });
  await writeFile(join(data, "auto.cnf"), "[auto]\nserver-uuid=1\n");
  await writeFile(join(data, "mysql", "a b.ibd"), randomBytes(20 * mib), { mode: 0o640 });
  await writeFile(join(data, "ibdata1"), Buffer.alloc(3 * mib, "page "), { mode: 0o600 });
  s3 = await startS3(folder);
  bucket = makeBucket(s3.aws, s3.bucket);
  const time = nextSecond();
  manifest = await backUp(bucket, () => time);
});

afterAll(async () => {
  await s3?.close();
  await rm(folder, { recursive: true, force: true });
});

const bytesOf = async (key: string): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of ((await bucket.get(key))?.stream ?? []) as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
};

/** The object is replaced while `use` runs, and put back afterwards. */
const withObject = async (key: string, bytes: Buffer | undefined, use: () => Promise<void>): Promise<void> => {
  const good = await bytesOf(key);
  await bucket.remove(key);
  if (bytes) await bucket.putOnce(key, bytes);
  try {
    await use();
  } finally {
    await bucket.remove(key);
    await bucket.putOnce(key, good);
  }
};

const through = async (
  fault: (method: string, url: string) => Fault | undefined,
  use: (faulty: Bucket) => Promise<void>,
): Promise<void> => {
  const way = await startFaultyWay(s3.endpoint, ({ method, url }) => fault(method ?? "", url ?? ""));
  const { client, s3: faulty } = s3At(way.endpoint);
  try {
    await use(makeBucket({ s3: faulty }, s3.bucket, { patience: { attempts: 2, backoffMs: 5, idleMs: 2000 } }));
  } finally {
    client.destroy();
    await way.close();
  }
};

describe("a whole backup", () => {
  it("is split into objects of the stated size and restores to the same files", async () => {
    expect(manifest.objects.length).toBeGreaterThan(3);
    expect(manifest.objects.slice(0, -1).every(({ size }) => size === sizes.object)).toBe(true);
    const into = join(folder, "whole");
    await restore(bucket, manifest, into);
    // Same names, kinds, modes and bytes, but for the identity of the server.
    execFileSync("diff", ["--recursive", "--exclude=auto.cnf", data, into]);
    const modes = (of: string) =>
      execFileSync("find", [of, "-mindepth", "1", "-not", "-name", "auto.cnf", "-printf", "%P %m %y\n"])
        .toString()
        .split("\n")
        .sort();
    expect(modes(into)).toEqual(modes(data));
    expect(existsSync(join(into, "auto.cnf"))).toBe(false);
  });

  it("survives connections that are cut while it is restored", async () => {
    let cut = 0;
    await through(
      (method, url) =>
        method === "GET" && url.includes("/data-") && cut++ % 2 === 0 ? { cutAfter: 2 * mib } : undefined,
      async (faulty) => restore(faulty, manifest, join(folder, "cut")),
    );
    expect(cut).toBeGreaterThan(manifest.objects.length);
    expect((await readFile(join(folder, "cut", "ibdata1"))).equals(await readFile(join(data, "ibdata1")))).toBe(true);
  });

  it("is not restored over files that are there", async () => {
    const into = join(folder, "occupied");
    await mkdir(into);
    await writeFile(join(into, "precious"), "data");
    await expect(restore(bucket, manifest, into)).rejects.toMatchObject({ reason: "foreign-data" });
    expect(await readFile(join(into, "precious"), "utf8")).toBe("data");
  });
});

describe("a backup that is damaged", () => {
  const refused = async (key: string, message: RegExp): Promise<void> => {
    const into = join(folder, "damaged");
    await expect(restore(bucket, manifest, into)).rejects.toMatchObject({ reason: "backup-corrupt", message });
    await expect(restore(bucket, manifest, into)).rejects.toThrow(key);
    expect(existsSync(into)).toBe(false);
  };
  const object = (n: number): BackupManifest["objects"][number] => {
    const found = manifest.objects.at(n);
    if (!found) throw new Error(`no object ${n}`);
    return found;
  };

  it.each([0, 1, -1])("is refused when object %i was cut short", async (n) => {
    const { key, size } = object(n);
    await withObject(key, (await bytesOf(key)).subarray(0, size - 1), () =>
      refused(key, expect.stringContaining(`has ${size - 1} bytes; ${size} were expected`)),
    );
  });

  it.each([0, 1, -1])("is refused when a bit of object %i was flipped", async (n) => {
    const { key, sha256 } = object(n);
    const bytes = await bytesOf(key);
    const at = Math.floor(bytes.length / 3);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    await withObject(key, bytes, () => refused(key, expect.stringContaining(`${sha256} was expected`)));
  });

  it("is refused when zeros took the place of the first bytes, which do not even unpack", async () => {
    const { key } = object(0);
    const bytes = await bytesOf(key);
    bytes.fill(0, 0, 4096);
    await withObject(key, bytes, () => refused(key, expect.stringContaining("has SHA-256")));
  });

  it.each([0, -1])("is refused when object %i is missing", async (n) => {
    const { key, size } = object(n);
    await withObject(key, undefined, () => refused(key, expect.stringContaining(`missing; ${size} bytes`)));
  });

  it("is refused when the manifest lost its last object", async () => {
    const into = join(folder, "damaged");
    const shorter = { ...manifest, objects: manifest.objects.slice(0, -1) };
    await expect(restore(bucket, shorter, into)).rejects.toMatchObject({
      reason: "backup-corrupt",
      message: expect.stringContaining("do not unpack"),
    });
    expect(existsSync(into)).toBe(false);
  });

  it("restores again once the object is whole", async () => {
    const into = join(folder, "damaged");
    await restore(bucket, manifest, into);
    expect(existsSync(join(into, "mysql", "a b.ibd"))).toBe(true);
  });
});

describe("a bucket without permission", () => {
  it("is named when the backup may not be written", async () => {
    await through(
      (method) => (method === "PUT" ? { refuse: { status: 403, code: "AccessDenied" } } : undefined),
      async (faulty) => {
        await expect(backUp(faulty, nextSecond)).rejects.toMatchObject({
          reason: "permission-denied",
          message: expect.stringMatching(/s3:PutObject on demo\/full\/.* in bucket percona-demo-backups-1/),
        });
      },
    );
  });

  it("is named when the backup may not be read, and the folder is gone", async () => {
    await through(
      (method) => (method === "GET" ? { refuse: { status: 403, code: "AccessDenied" } } : undefined),
      async (faulty) => {
        const into = join(folder, "denied");
        await expect(restore(faulty, manifest, into)).rejects.toMatchObject({
          reason: "permission-denied",
          message: expect.stringContaining("s3:GetObject"),
        });
        expect(existsSync(into)).toBe(false);
      },
    );
  });
});

describe("a restore that is stopped", () => {
  it("ends at once and leaves no folder", async () => {
    const stop = new AbortController();
    await through(
      (method, url) => {
        if (method === "GET" && url.includes("data-000002")) stop.abort();
        return undefined;
      },
      async (faulty) => {
        const into = join(folder, "stopped");
        await expect(restore(faulty, manifest, into, stop.signal)).rejects.toMatchObject({ reason: "interrupted" });
        expect(existsSync(into)).toBe(false);
      },
    );
  });
});

const mayMount = process.getuid?.() === 0;
if (!mayMount) console.warn("SKIPPED: the disk-full tests mount a small tmpfs, which only root may.");

describe.skipIf(!mayMount)("a disk that is full", () => {
  let small: string;

  beforeAll(async () => {
    small = join(folder, "small");
    await mkdir(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=10m", "tmpfs", small]);
  });

  afterAll(() => {
    execFileSync("umount", [small]);
  });

  it("is refused before a byte is restored when there is too little room", async () => {
    const into = join(small, "data");
    await expect(restore(bucket, manifest, into)).rejects.toMatchObject({
      reason: "disk-full",
      message: expect.stringMatching(/needs 24\.\d MB in .* and 10\.\d MB are free/),
    });
    expect(existsSync(into)).toBe(false);
  });

  it("ends the restore when it fills up on the way, and what was written is gone", async () => {
    const into = join(small, "data");
    const tooOptimistic = { ...manifest, data_bytes: 1000 };
    await expect(restore(bucket, tooOptimistic, into)).rejects.toMatchObject({
      reason: "disk-full",
      message: expect.stringContaining("a b.ibd"),
    });
    expect(existsSync(into)).toBe(false);
  });
});
