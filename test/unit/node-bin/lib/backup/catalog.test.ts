import { beforeEach, describe, expect, it } from "vitest";
import type { Timeline } from "#contract/timeline.ts";
import { type Catalog, makeCatalog } from "#node/lib/backup/catalog.ts";
import { manifestOf } from "./manifests.ts";
import { type MemoryBucket, memoryBucket } from "./memory-bucket.ts";

let bucket: MemoryBucket;
let catalog: Catalog;
let complaints: string[];

beforeEach(() => {
  bucket = memoryBucket();
  complaints = [];
  catalog = makeCatalog(bucket, "demo", (sentence) => complaints.push(sentence));
});

const put = (key: string, json: unknown): void => {
  bucket.objects.set(key, Buffer.from(typeof json === "string" ? json : JSON.stringify(json)));
};
const putManifest = (time: string, changed = {}): void =>
  put(`demo/full/${time}/manifest.json`, manifestOf(time, changed));
const times = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { time } of catalog.manifests("full")) found.push(time);
  return found;
};

const mark = (time: string) => ({
  schema: 1,
  abandoned: true,
  cluster_id: "demo",
  time,
  abandoned_at: "2026-11-21T00:00:00.000Z",
  instance_id: "i-0123456789abcdef0",
});

const timeline = (n: number, fence: number): Timeline => ({
  schema: 1,
  timeline: n,
  branch_gtid_set: "",
  fence,
  instance_id: "i-0123456789abcdef0",
  why: "formed",
  began_at: "2026-11-21T00:00:00.000Z",
});

describe("the catalog", () => {
  it("lists complete backups, the newest first", async () => {
    putManifest("2026-11-21T00-00-01Z");
    putManifest("2026-11-21T00-00-03Z");
    putManifest("2026-11-21T00-00-02Z");
    put("demo/full/2026-11-21T00-00-04Z/data-000001.tar.zst", "unfinished");
    put("other/full/2026-11-21T00-00-05Z/manifest.json", manifestOf("2026-11-21T00-00-05Z"));
    expect(await times()).toEqual(["2026-11-21T00-00-03Z", "2026-11-21T00-00-02Z", "2026-11-21T00-00-01Z"]);
    expect(complaints).toEqual([]);
  });

  it("reads no more manifests than are asked for", async () => {
    for (const second of [1, 2, 3]) putManifest(`2026-11-21T00-00-0${second}Z`);
    const read: string[] = [];
    const counting = makeCatalog(
      {
        ...bucket,
        getJson: async (key) => {
          read.push(key);
          return bucket.getJson(key);
        },
      },
      "demo",
      () => {},
    );
    expect((await counting.newestFull())?.time).toBe("2026-11-21T00-00-03Z");
    expect(read).toEqual(["demo/full/2026-11-21T00-00-03Z/manifest.json"]);
  });

  it.each([
    ["no JSON", "{"],
    ["another schema", { ...manifestOf("2026-11-21T00-00-09Z"), schema: 2 }],
    ["a bad checksum", manifestOf("2026-11-21T00-00-09Z", { objects: [{ key: "k", size: 1, sha256: "XYZ" }] })],
    ["another time", manifestOf("2026-11-21T00-00-08Z")],
    ["another cluster", manifestOf("2026-11-21T00-00-09Z", { cluster_id: "other" })],
    ["null", "null"],
  ])("reports and skips a manifest with %s", async (_, content) => {
    putManifest("2026-11-21T00-00-01Z");
    put("demo/full/2026-11-21T00-00-09Z/manifest.json", content);
    expect((await catalog.newestFull())?.time).toBe("2026-11-21T00-00-01Z");
    expect(complaints).toHaveLength(1);
    expect(complaints[0]).toContain("demo/full/2026-11-21T00-00-09Z/manifest.json");
  });

  it("takes a backup that was given up for none, without a word", async () => {
    put("demo/full/2026-11-21T00-00-09Z/manifest.json", mark("2026-11-21T00-00-09Z"));
    expect(await times()).toEqual([]);
    expect(await catalog.clusterHasData()).toBe(false);
    expect(complaints).toEqual([]);
  });

  it("ignores backups of abandoned formations when it knows the formation", async () => {
    putManifest("2026-11-21T00-00-01Z", { formation: 3 });
    putManifest("2026-11-21T00-00-02Z", { formation: 2 });
    expect((await catalog.newestFull({ formation: 3 }))?.time).toBe("2026-11-21T00-00-01Z");
    expect((await catalog.newestFull())?.time).toBe("2026-11-21T00-00-02Z");
    expect(await catalog.newestFull({ formation: 4 })).toBeUndefined();
  });

  it("passes an error of the store on", async () => {
    const failing = makeCatalog(
      {
        ...bucket,
        getJson: async () => {
          throw new Error("S3 is away");
        },
      },
      "demo",
      () => {},
    );
    putManifest("2026-11-21T00-00-01Z");
    await expect(failing.newestFull()).rejects.toThrow("S3 is away");
    await expect(failing.clusterHasData()).rejects.toThrow("S3 is away");
  });
});

describe("whether a cluster id has data", () => {
  it("is no for an empty bucket, or one with other things", async () => {
    put("demo/artifacts/1.0.0/node-bin.tar.gz", "x");
    put("demo/operations/a.json", {});
    put("demo2/binlogs/1/000000000001", "x");
    put("demo/full/2026-11-21T00-00-04Z/data-000001.tar.zst", "unfinished");
    expect(await catalog.clusterHasData()).toBe(false);
  });

  it.each([
    ["a full backup", "demo/full/2026-11-21T00-00-01Z/manifest.json", manifestOf("2026-11-21T00-00-01Z")],
    ["a manifest that cannot be read", "demo/full/2026-11-21T00-00-01Z/manifest.json", "{"],
    ["an incremental one", "demo/incremental/2026-11-21T00-00-01Z/manifest.json", "{"],
    ["an archive", "demo/binlogs/1/000000000001", "x"],
  ])("is yes for %s when there is no record", async (_, key, content) => {
    put(key, content);
    expect(await catalog.clusterHasData()).toBe(true);
  });

  it("does not count what abandoned formations left", async () => {
    putManifest("2026-11-21T00-00-01Z", { formation: 2 });
    put("demo/timelines/1.json", timeline(1, 2));
    put("demo/binlogs/1/000000000001", "x");
    expect(await catalog.clusterHasData({ formation: 3 })).toBe(false);
    expect(await catalog.clusterHasData({ formation: 2 })).toBe(true);
    expect(await catalog.clusterHasData()).toBe(true);
  });

  it.each([
    ["of the formation", timeline(2, 3)],
    ["after it", timeline(2, 9)],
    ["that nothing is known about", undefined],
    ["whose description cannot be read", "{"],
  ])("counts the archive of a timeline %s", async (_, description) => {
    put("demo/timelines/1.json", timeline(1, 2));
    put("demo/binlogs/1/000000000001", "x");
    put("demo/binlogs/2/000000000001", "x");
    if (description !== undefined) put("demo/timelines/2.json", description);
    expect(await catalog.clusterHasData({ formation: 3 })).toBe(true);
  });
});
