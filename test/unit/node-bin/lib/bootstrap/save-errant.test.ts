import { beforeEach, describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { type ErrantRequest, saveErrant } from "#node/lib/bootstrap/save-errant.ts";
import type { BinlogText } from "#node/lib/mysql/errant-sql.ts";
import { type MemoryBucket, memoryBucket } from "../backup/memory-bucket.ts";
import { n1, n2, uuid1 } from "../cluster/samples.ts";

const uuid2 = "22222222-2222-2222-2222-222222222222";
const folder = `c1/errant/${n2}`;
let bucket: MemoryBucket;
beforeEach(() => {
  bucket = memoryBucket();
});

const binlogs = (failure?: Error): BinlogText => ({
  filesWith: async (set) => [`/data/mysql-bin.000007 for ${set}`],
  sql: async function* (files, set) {
    yield Buffer.from(`-- ${set} `);
    if (failure) throw failure;
    yield Buffer.from(files.join(","));
  },
});

const request = (change: Partial<ErrantRequest> = {}): ErrantRequest => ({
  bucket,
  binlogs: binlogs(),
  cluster_id: "c1",
  instance_id: n2,
  private_ip: "127.0.11.5",
  server_uuid: uuid2,
  gtid_set: `${uuid2}:4-5`,
  purged: "",
  primary: { instance_id: n1, server_uuid: uuid1, fence: 5, timeline: 2, gtid_executed: `${uuid1}:1-9` },
  now: () => new Date("2026-11-21T00:17:05.123Z"),
  signal: new AbortController().signal,
  ...change,
});

const text = (key: string): string => bucket.objects.get(key)?.toString() ?? "";

describe("transactions of a node's own", () => {
  it("are saved as SQL, and described after that", async () => {
    const { recordKey, record } = await saveErrant(request());
    expect(bucket.changes).toEqual([
      `put ${folder}/2026-11-21T00-17-05Z.sql`,
      `put ${folder}/2026-11-21T00-17-05Z.json`,
    ]);
    expect(text(record.sql?.key ?? "")).toBe(`-- ${uuid2}:4-5 /data/mysql-bin.000007 for ${uuid2}:4-5`);
    expect(JSON.parse(text(recordKey))).toMatchObject({
      gtid_set: `${uuid2}:4-5`,
      server_uuid: uuid2,
      instance_id: n2,
      primary: { instance_id: n1, fence: 5 },
      saved_at: "2026-11-21T00:17:05.123Z",
    });
    expect(record).not.toHaveProperty("not_in_binlogs");
  });

  it("are not saved again by a later attempt, but those of more transactions or of another server are", async () => {
    const first = await saveErrant(request({ gtid_set: `${uuid2}:4-6` }));
    expect(await saveErrant(request())).toEqual(first);
    const more = await saveErrant(request({ gtid_set: `${uuid2}:4-7` }));
    const other = await saveErrant(request({ server_uuid: uuid1 }));
    expect([more.recordKey, other.recordKey]).toEqual([
      `${folder}/2026-11-21T00-17-06Z.json`,
      `${folder}/2026-11-21T00-17-07Z.json`,
    ]);
  });

  it("that the binlogs do not have any more are named, in part or all", async () => {
    const part = await saveErrant(request({ purged: `${uuid1}:1-9,${uuid2}:1-4` }));
    expect(part.record).toMatchObject({ not_in_binlogs: `${uuid2}:4`, gtid_set: `${uuid2}:4-5` });
    expect(text(part.record.sql?.key ?? "")).toContain(`-- ${uuid2}:5 `);
    const all = await saveErrant(request({ gtid_set: `${uuid2}:1-2`, purged: `${uuid2}:1-4`, server_uuid: uuid1 }));
    expect(all.record).toMatchObject({ not_in_binlogs: `${uuid2}:1-2` });
    expect(all.record).not.toHaveProperty("sql");
  });

  it.each([
    [
      "mysqlbinlog fails half way",
      () => ({ binlogs: binlogs(new Failure("errant-transactions", { message: "it broke" })) }),
    ],
    [
      "the bucket refuses",
      () => ({
        bucket: {
          ...bucket,
          uploadOnce: async () => {
            throw new Failure("permission-denied", { message: "it broke" });
          },
        },
      }),
    ],
  ])("are not described when %s, and nothing is said to be lost", async (_, change) => {
    const attempt = saveErrant(request(change()));
    await expect(attempt).rejects.toMatchObject({ reason: "errant-transactions" });
    await expect(attempt).rejects.toThrow(/it broke/);
    expect([...bucket.objects.keys()]).toEqual([]);
  });

  it("are saved beside what an attempt left that did not end, and whatever else lies there", async () => {
    await bucket.putOnce(`${folder}/2026-11-21T00-17-05Z.sql`, "half");
    await bucket.putOnce(`${folder}/2026-11-21T00-17-04Z.json`, "no JSON");
    expect((await saveErrant(request())).recordKey).toBe(`${folder}/2026-11-21T00-17-06Z.json`);
    expect(text(`${folder}/2026-11-21T00-17-05Z.sql`)).toBe("half");
  });
});
