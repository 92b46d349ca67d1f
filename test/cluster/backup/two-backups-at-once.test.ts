import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { s3Keys } from "#contract/s3-layout.ts";
import { type Bucket, makeBucket } from "#node/lib/aws/s3.ts";
import { makeCatalog } from "#node/lib/backup/catalog.ts";
import type { BackupEngine } from "#node/lib/backup/engine.ts";
import { restoreFull } from "#node/lib/backup/restore.ts";
import { takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { endProcess } from "../ministack.ts";
import { folderEngine } from "./folder-engine.ts";
import { type S3Server, startS3 } from "./s3-fixture.ts";

const mib = 1024 * 1024;
const sizes = { object: 6 * mib, part: 5 * mib };
let folder: string;
let data: string;
let s3: S3Server;
let bucket: Bucket;
let clusterId: string;
let clusters = 0;
const complaints: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "twice-test-"));
  data = join(folder, "data");
  await mkdir(data);
  await writeFile(join(data, "ibdata1"), randomBytes(20 * mib));
  s3 = await startS3(folder);
  bucket = makeBucket(s3.aws, s3.bucket);
});

beforeEach(() => {
  clusters += 1;
  clusterId = `demo-${clusters}`;
  complaints.length = 0;
});

afterAll(async () => {
  await s3?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Settings {
  readonly engine?: BackupEngine;
  readonly holding?: () => Promise<void>;
  readonly at?: string;
}

const backUp = ({
  engine = folderEngine(data),
  holding = async () => {},
  at,
}: Settings = {}): Promise<BackupManifest> =>
  takeFullBackup({
    bucket,
    engine,
    clusterId,
    instanceId: "i-0123456789abcdef0",
    timeline: 1,
    formation: 1,
    assertStillHolding: holding,
    progress: () => {},
    signal: AbortSignal.timeout(60_000),
    sizes,
    ...(at === undefined ? {} : { now: () => new Date(at) }),
  });

const keys = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of bucket.list(s3Keys.cluster(clusterId))) found.push(key);
  return found;
};

const unfinished = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of bucket.listUploads(s3Keys.cluster(clusterId))) found.push(key);
  return found;
};

const listed = async (): Promise<string[]> => {
  const catalog = makeCatalog(bucket, clusterId, (sentence) => complaints.push(sentence));
  const times: string[] = [];
  for await (const { time } of catalog.manifests("full")) times.push(time);
  return times;
};

const restores = async (manifest: BackupManifest): Promise<void> => {
  const intoDir = join(folder, `restored-${clusters}`);
  await restoreFull({ bucket, manifest, intoDir, signal: AbortSignal.timeout(60_000), progress: () => {} });
  expect(existsSync(join(intoDir, "ibdata1"))).toBe(true);
  await rm(intoDir, { recursive: true });
};

/** The engine, which waits before the last bytes of its stream until it is told to go on. */
const pausing = (engine: BackupEngine): { engine: BackupEngine; reached: Promise<void>; goOn(): void } => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  async function* slowly(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let seen = 0;
    let paused = false;
    for await (const chunk of source) {
      seen += chunk.byteLength;
      if (!paused && seen > 12 * mib) {
        paused = true;
        reached.resolve();
        await released.promise;
      }
      yield chunk;
    }
  }
  return {
    reached: reached.promise,
    goOn: released.resolve,
    engine: {
      ...engine,
      copy: async (options) => {
        const copy = await engine.copy(options);
        const { Readable } = await import("node:stream");
        return { ...copy, stream: Readable.from(slowly(copy.stream), { objectMode: false }) };
      },
    },
  };
};

describe("two backups in the same second", () => {
  it("never overwrite each other, and what is complete restores", async () => {
    const at = "2026-11-21T01:00:00.000Z";
    const results = await Promise.allSettled([backUp({ at }), backUp({ at }), backUp({ at })]);
    const complete = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    expect(complete.length).toBeGreaterThan(0);
    for (const reason of failed) {
      expect(reason).toMatchObject({ reason: "backup-failed", message: expect.stringContaining("same second") });
    }
    expect((await listed()).toSorted()).toEqual(complete.map(({ time }) => time).sort());
    expect((await keys()).filter((key) => key.includes("/data-"))).toEqual(
      complete.flatMap(({ objects }) => objects.map(({ key }) => key)).sort(),
    );
    for (const manifest of complete) await restores(manifest);
  });
});

describe("a holder of the lock that was only slow", () => {
  it("cannot complete a backup whose objects its successor removed", async () => {
    const slow = pausing(folderEngine(data));
    const stale = backUp({ engine: slow.engine, at: "2026-11-21T02:00:00.000Z" });
    const staleEnded = stale.catch((error: unknown) => error);
    await slow.reached;
    const manifest = await backUp({ at: "2026-11-21T02:00:09.000Z" });
    // It does not even notice that it lost the lock.
    slow.goOn();
    expect(await staleEnded).toMatchObject({ reason: "backup-failed" });
    expect(await listed()).toEqual(["2026-11-21T02-00-09Z"]);
    expect(complaints).toEqual([]);
    expect((await keys()).filter((key) => key.includes("T02-00-00Z"))).toEqual([
      `${clusterId}/full/2026-11-21T02-00-00Z/manifest.json`,
    ]);
    await restores(manifest);
  });

  it("ends where the lock was lost, with that reason, and leaves nothing", async () => {
    let checks = 0;
    const holding = async (): Promise<void> => {
      checks += 1;
      if (checks > 3) throw new Failure("lock-lost", { message: "The backup lock was lost." });
    };
    await expect(backUp({ holding })).rejects.toMatchObject({ reason: "lock-lost" });
    expect(await keys()).toEqual([]);
    expect(await unfinished()).toEqual([]);
  });

  it("writes no manifest when the lock is lost at the very end", async () => {
    let checks = 0;
    const counting = async (): Promise<void> => {
      checks += 1;
    };
    await backUp({ holding: counting, at: "2026-11-21T03:00:00.000Z" });
    const last = checks;
    checks = 0;
    const holding = async (): Promise<void> => {
      checks += 1;
      if (checks >= last) throw new Failure("lock-lost", { message: "The backup lock was lost." });
    };
    await expect(backUp({ holding, at: "2026-11-21T03:00:01.000Z" })).rejects.toMatchObject({ reason: "lock-lost" });
    expect(await listed()).toEqual(["2026-11-21T03-00-00Z"]);
    expect((await keys()).filter((key) => key.includes("T03-00-01Z"))).toEqual([]);
  });
});

describe("an uploader that is killed half way", () => {
  it("leaves no backup, and the next one works and removes what was left", async () => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("./backup-process.ts", import.meta.url)), s3.endpoint, s3.bucket, clusterId, data],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    let said = "";
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes("half way")) resolve();
      });
      child.once("exit", () => reject(new Error(`it ended before it was killed: ${said}`)));
    });
    await endProcess(child, "SIGKILL");

    const left = await keys();
    expect(left.length).toBeGreaterThan(0);
    expect(left.some((key) => key.endsWith("manifest.json"))).toBe(false);
    expect(await listed()).toEqual([]);
    expect(await makeCatalog(bucket, clusterId, () => {}).newestFull()).toBeUndefined();

    const manifest = await backUp();
    expect(await listed()).toEqual([manifest.time]);
    expect(complaints).toEqual([]);
    const kept = await keys();
    expect(left.filter((key) => kept.includes(key))).toEqual([]);
    expect(await unfinished()).toEqual([]);
    await restores(manifest);
  });

  it("leaves leftovers whose removal can be interrupted too", async () => {
    const time = "2026-11-21T04-00-00Z";
    const data = s3Keys.backupData(clusterId, "full", time, 1, "tar.zst");
    await bucket.putOnce(data, "left");
    let checks = 0;
    const holding = async (): Promise<void> => {
      checks += 1;
      if (checks === 2) throw new Failure("lock-lost", { message: "The backup lock was lost." });
    };
    await expect(backUp({ holding })).rejects.toMatchObject({ reason: "lock-lost" });
    expect(await bucket.head(data)).toBeDefined();
    await backUp();
    expect(await bucket.head(data)).toBeUndefined();
  });
});
