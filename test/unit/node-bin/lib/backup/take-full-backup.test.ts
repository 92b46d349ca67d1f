import { Readable } from "node:stream";
import * as v from "valibot";
import { beforeEach, describe, expect, it } from "vitest";
import { BackupManifest } from "#contract/backup-manifest.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { BackupEngine } from "#node/lib/backup/engine.ts";
import { type FullBackupRequest, takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { type MemoryBucket, memoryBucket } from "./memory-bucket.ts";

let bucket: MemoryBucket;
let discarded: number;

beforeEach(() => {
  bucket = memoryBucket();
  discarded = 0;
});

const engine = (chunks: readonly string[], failure?: Error): BackupEngine => ({
  name: "clone",
  packing: "tar+zstd",
  suffix: "tar.zst",
  version: async () => "9.7.4",
  copy: async () => ({
    stream: Readable.from(
      (function* () {
        for (const chunk of chunks) yield Buffer.from(chunk);
        if (failure) throw failure;
      })(),
      { objectMode: false },
    ),
    facts: async () => ({
      gtid_set: "00000000-0000-0000-0000-000000000001:1-10",
      server_uuid: "00000000-0000-0000-0000-000000000001",
      server_version: "9.7.4",
      lower_case_table_names: 0,
      page_size: 16384,
      data_bytes: 1000,
    }),
    discard: async () => {
      discarded += 1;
    },
  }),
});

const request = (changed: Partial<FullBackupRequest> = {}): FullBackupRequest => ({
  bucket,
  engine: engine(["abcdef", "ghij"]),
  clusterId: "demo",
  instanceId: "i-0123456789abcdef0",
  timeline: 2,
  formation: 3,
  assertStillHolding: async () => {},
  progress: () => {},
  signal: new AbortController().signal,
  now: () => new Date("2026-11-21T00:17:05.123Z"),
  sizes: { object: 4, part: 5 * 1024 * 1024 },
  ...changed,
});

const folder = "demo/full/2026-11-21T00-17-05Z";

describe("a full backup", () => {
  it("is split into objects, which the manifest names in order, and the manifest is written last", async () => {
    const manifest = await takeFullBackup(request());
    expect(bucket.changes).toEqual([
      `put ${folder}/data-000001.tar.zst`,
      `put ${folder}/data-000002.tar.zst`,
      `put ${folder}/data-000003.tar.zst`,
      `put ${folder}/manifest.json`,
    ]);
    expect(manifest.objects.map(({ key }) => bucket.objects.get(key)?.toString())).toEqual(["abcd", "efgh", "ij"]);
    expect(manifest.objects.map(({ size }) => size)).toEqual([4, 4, 2]);
    expect(v.parse(BackupManifest, await bucket.getJson(`${folder}/manifest.json`))).toEqual(manifest);
    expect(discarded).toBe(1);
  });

  it("is checked before each thing that others can see", async () => {
    const log: string[] = bucket.changes;
    await takeFullBackup(
      request({
        assertStillHolding: async () => {
          log.push("check");
        },
      }),
    );
    for (const [at, change] of log.entries()) if (change !== "check") expect(log[at - 1]).toBe("check");
  });

  it.each([1, 2, 3, 4, 5, 6, 7])("leaves nothing when the lock is lost at check %i", async (last) => {
    let checks = 0;
    const failing = takeFullBackup(
      request({
        assertStillHolding: async () => {
          checks += 1;
          if (checks >= last) throw new Failure("lock-lost", { message: "lost" });
        },
      }),
    );
    await expect(failing).rejects.toMatchObject({ reason: "lock-lost" });
    expect([...bucket.objects.keys()]).toEqual([]);
    expect(discarded).toBe(1);
  });

  it.each([
    ["breaks", new Error("tar ended with code 2"), "backup-failed"],
    ["finds the disk full", new Error("tar: write: No space left on device"), "disk-full"],
    ["fails with a reason", new Failure("disk-full", { message: "full" }), "disk-full"],
  ])("leaves nothing when the copy %s", async (_, error, reason) => {
    await expect(takeFullBackup(request({ engine: engine(["abcdef"], error) }))).rejects.toMatchObject({ reason });
    expect([...bucket.objects.keys()]).toEqual([]);
    expect(discarded).toBe(1);
  });

  it("keeps its objects when nobody knows whether the manifest was written", async () => {
    const unsure: MemoryBucket = {
      ...bucket,
      putOnce: async (key) => {
        throw new Failure("store-unavailable", { message: `${key}: no answer` });
      },
    };
    await expect(takeFullBackup(request({ bucket: unsure }))).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(bucket.objects.size).toBe(3);
  });

  it("begins in the next second when the place of this one is taken", async () => {
    bucket.objects.set(`${folder}/manifest.json`, Buffer.from("{}"));
    const manifest = await takeFullBackup(request());
    expect(manifest.time).toBe("2026-11-21T00-17-06Z");
    expect(bucket.objects.get(`${folder}/manifest.json`)?.toString()).toBe("{}");
  });

  it("leaves the objects of another backup alone that was begun at the very same time", async () => {
    const racing: MemoryBucket = {
      ...bucket,
      uploadOnce: async (key, source, options) => {
        bucket.objects.set(`${folder}/data-000002.tar.zst`, Buffer.from("theirs"));
        bucket.objects.set(`${folder}/manifest.json`, Buffer.from("{}"));
        return bucket.uploadOnce(key, source, options);
      },
    };
    await expect(takeFullBackup(request({ bucket: racing }))).rejects.toMatchObject({ reason: "backup-failed" });
    expect([...bucket.objects].map(([key, body]) => [key, body.toString()])).toEqual([
      [`${folder}/data-000002.tar.zst`, "theirs"],
      [`${folder}/manifest.json`, "{}"],
    ]);
  });
});

describe("leftovers of earlier runs", () => {
  const old = "demo/full/2026-11-20T00-00-00Z";

  it("are marked first and then removed, before the copy begins", async () => {
    bucket.objects.set(`${old}/data-000001.tar.zst`, Buffer.from("left"));
    bucket.uploads.push({ key: `${old}/data-000002.tar.zst`, uploadId: "u" });
    await takeFullBackup(request());
    expect(bucket.changes.slice(0, 3)).toEqual([
      `put ${old}/manifest.json`,
      `remove ${old}/data-000001.tar.zst`,
      `abort ${old}/data-000002.tar.zst`,
    ]);
    expect(await bucket.getJson(`${old}/manifest.json`)).toMatchObject({
      abandoned: true,
      time: "2026-11-20T00-00-00Z",
    });
  });

  it("are not what has a manifest, nor what is no backup", async () => {
    bucket.objects.set(`${old}/data-000001.tar.zst`, Buffer.from("good"));
    bucket.objects.set(`${old}/manifest.json`, Buffer.from("{}"));
    bucket.objects.set("demo/full/README", Buffer.from("of a person"));
    await takeFullBackup(request());
    expect(bucket.objects.get(`${old}/data-000001.tar.zst`)?.toString()).toBe("good");
    expect(bucket.objects.has("demo/full/README")).toBe(true);
  });

  it("are left alone when their manifest appears at the last moment", async () => {
    bucket.objects.set(`${old}/data-000001.tar.zst`, Buffer.from("good"));
    const racing: MemoryBucket = {
      ...bucket,
      putOnce: async (key, body) => {
        if (key.startsWith(old)) bucket.objects.set(key, Buffer.from("{}"));
        return bucket.putOnce(key, body);
      },
    };
    await takeFullBackup(request({ bucket: racing }));
    expect(bucket.objects.get(`${old}/data-000001.tar.zst`)?.toString()).toBe("good");
  });
});
