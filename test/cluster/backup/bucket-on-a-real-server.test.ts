import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bucket, makeBucket } from "#node/lib/aws/s3.ts";
import { type Fault, type S3Server, s3At, startFaultyWay, startS3 } from "./s3-fixture.ts";

const mib = 1024 * 1024;
const partSize = 5 * mib;
let folder: string;
let server: S3Server;
let bucket: Bucket;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bucket-test-"));
  server = await startS3(folder);
  bucket = makeBucket(server.aws, server.bucket);
});

afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function* chunksOf(bytes: Buffer, size = 300_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const read = async (from: Bucket, key: string): Promise<Buffer | undefined> => {
  const found = await from.get(key);
  if (!found) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of found.stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
};

const uploads = async (prefix: string): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of bucket.listUploads(prefix)) keys.push(key);
  return keys;
};

/** A bucket behind a fault, which is asked for each request. */
const throughFault = async <T>(
  fault: (method: string, url: string) => Fault | undefined,
  use: (faulty: Bucket) => Promise<T>,
): Promise<T> => {
  const way = await startFaultyWay(server.endpoint, ({ method, url }) => fault(method ?? "", url ?? ""));
  const { client, s3 } = s3At(way.endpoint);
  try {
    return await use(makeBucket({ s3 }, server.bucket, { patience: { attempts: 3, backoffMs: 5, idleMs: 5000 } }));
  } finally {
    client.destroy();
    await way.close();
  }
};

describe("writing once", () => {
  it("writes an object only when there is none", async () => {
    expect(await bucket.putOnce("once/a", "first")).toBe("created");
    expect(await bucket.putOnce("once/a", "second")).toBe("exists");
    expect((await read(bucket, "once/a"))?.toString()).toBe("first");
  });

  it("lets one of many writers of the same key win", async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, writer) => bucket.putOnce("once/race", `writer ${writer}`)),
    );
    expect(results.filter((result) => result === "created")).toHaveLength(1);
    const winner = results.indexOf("created");
    expect((await read(bucket, "once/race"))?.toString()).toBe(`writer ${winner}`);
  });

  it("recognises its own object when the reply was lost", async () => {
    let lost = 0;
    const result = await throughFault(
      (method) => (method === "PUT" && lost++ === 0 ? { loseReply: true } : undefined),
      (faulty) => faulty.putOnce("once/lost", "mine"),
    );
    expect(lost).toBe(2);
    expect(result).toBe("created");
  });

  it("does not take another's object for its own when the reply was lost", async () => {
    await bucket.putOnce("once/lost-to-other", "theirs");
    let lost = 0;
    const result = await throughFault(
      (method) => (method === "PUT" && lost++ === 0 ? { loseReply: true } : undefined),
      (faulty) => faulty.putOnce("once/lost-to-other", "mine"),
    );
    expect(result).toBe("exists");
  });

  it("tries again when S3 reports another conditional write under way", async () => {
    let refused = 0;
    const result = await throughFault(
      (method) =>
        method === "PUT" && refused++ < 2 ? { refuse: { status: 409, code: "ConditionalRequestConflict" } } : undefined,
      (faulty) => faulty.putOnce("once/conflict", "mine"),
    );
    expect(result).toBe("created");
  });
});

describe("uploading a stream", () => {
  it("stores every byte in parts and tells size and SHA-256", async () => {
    const bytes = randomBytes(3 * partSize + 12_345);
    const result = await bucket.uploadOnce("up/a", chunksOf(bytes), { partSize });
    expect(result).toEqual({ result: "created", size: bytes.length, sha256: sha256(bytes) });
    expect((await read(bucket, "up/a"))?.equals(bytes)).toBe(true);
  });

  it.each([0, 1, partSize - 1, partSize, partSize + 1, 2 * partSize])("stores %i bytes", async (size) => {
    const bytes = randomBytes(size);
    expect(await bucket.uploadOnce(`up/size-${size}`, chunksOf(bytes), { partSize })).toEqual({
      result: "created",
      size,
      sha256: sha256(bytes),
    });
    expect((await read(bucket, `up/size-${size}`))?.equals(bytes)).toBe(true);
  });

  it("leaves an object that is there alone and keeps no parts", async () => {
    await bucket.putOnce("up/taken", "theirs");
    const result = await bucket.uploadOnce("up/taken", chunksOf(randomBytes(2 * partSize)), { partSize });
    expect(result).toEqual({ result: "exists" });
    expect((await read(bucket, "up/taken"))?.toString()).toBe("theirs");
    expect(await uploads("up/taken")).toEqual([]);
  });

  it("lets one of several uploads of the same key win", async () => {
    const bodies = Array.from({ length: 4 }, () => randomBytes(partSize + 1000));
    const results = await Promise.all(
      bodies.map((bytes) => bucket.uploadOnce("up/race", chunksOf(bytes), { partSize })),
    );
    const winners = bodies.filter((_, index) => results[index]?.result === "created");
    expect(winners).toHaveLength(1);
    expect((await read(bucket, "up/race"))?.equals(winners[0] as Buffer)).toBe(true);
    expect(await uploads("up/race")).toEqual([]);
  });

  it("removes its parts when the source fails", async () => {
    const broken = (async function* () {
      yield randomBytes(partSize + 10);
      yield randomBytes(partSize);
      throw new Error("the source broke");
    })();
    await expect(bucket.uploadOnce("up/broken", broken, { partSize })).rejects.toThrow("the source broke");
    expect(await uploads("up/broken")).toEqual([]);
    expect(await bucket.head("up/broken")).toBeUndefined();
  });

  it("removes its parts when it is stopped", async () => {
    const stop = new AbortController();
    const endless = (async function* () {
      for (let chunk = 0; ; chunk += 1) {
        if (chunk === 5) stop.abort();
        yield randomBytes(partSize / 2);
      }
    })();
    await expect(bucket.uploadOnce("up/stopped", endless, { partSize, signal: stop.signal })).rejects.toMatchObject({
      reason: "interrupted",
    });
    expect(await uploads("up/stopped")).toEqual([]);
  });

  it("does not become visible when the check before the end fails", async () => {
    const beforeCommit = async () => {
      throw new Error("the lock is gone");
    };
    for (const [key, size] of [
      ["up/unheld-small", 10],
      ["up/unheld-large", partSize + 10],
    ] as const) {
      await expect(bucket.uploadOnce(key, chunksOf(randomBytes(size)), { partSize, beforeCommit })).rejects.toThrow(
        "the lock is gone",
      );
      expect(await bucket.head(key)).toBeUndefined();
      expect(await uploads(key)).toEqual([]);
    }
  });

  it("recognises its own object when the reply to the completion was lost", async () => {
    const bytes = randomBytes(partSize + 10);
    let lost = 0;
    const result = await throughFault(
      (method, url) =>
        method === "POST" && url.includes("uploadId=") && lost++ === 0 ? { loseReply: true } : undefined,
      (faulty) => faulty.uploadOnce("up/lost", chunksOf(bytes), { partSize }),
    );
    expect(lost).toBeGreaterThan(0);
    expect(result).toMatchObject({ result: "created", sha256: sha256(bytes) });
    expect((await read(bucket, "up/lost"))?.equals(bytes)).toBe(true);
  });

  it("gives up and removes its parts when a part is refused", async () => {
    await expect(
      throughFault(
        (_method, url) =>
          url.includes("partNumber=2") ? { refuse: { status: 403, code: "AccessDenied" } } : undefined,
        (faulty) => faulty.uploadOnce("up/refused", chunksOf(randomBytes(3 * partSize)), { partSize }),
      ),
    ).rejects.toMatchObject({ reason: "permission-denied", message: expect.stringContaining("up/refused") });
    expect(await uploads("up/refused")).toEqual([]);
  });
});

describe("reading", () => {
  it("goes on where a connection was cut", async () => {
    const bytes = randomBytes(4 * mib);
    await bucket.putOnce("read/cut", bytes);
    let cuts = 0;
    const seen = await throughFault(
      (method) => (method === "GET" && cuts++ < 3 ? { cutAfter: 700_000 } : undefined),
      (faulty) => read(faulty, "read/cut"),
    );
    expect(cuts).toBe(4);
    expect(seen?.equals(bytes)).toBe(true);
  });

  it("gives up after so many connections without a byte", async () => {
    await bucket.putOnce("read/dead", randomBytes(mib));
    let gets = 0;
    await expect(
      throughFault(
        (method) => {
          if (method !== "GET") return undefined;
          gets += 1;
          return gets === 1 ? { cutAfter: 1000 } : { refuse: { status: 503, code: "SlowDown" } };
        },
        (faulty) => read(faulty, "read/dead"),
      ),
    ).rejects.toMatchObject({ reason: "store-unavailable" });
  });

  it("does not mix two versions of an object", async () => {
    await bucket.putOnce("read/replaced", randomBytes(mib));
    let gets = 0;
    const reading = throughFault(
      (method) => (method === "GET" && gets++ === 0 ? { cutAfter: 100_000 } : undefined),
      async (faulty) => {
        const found = await faulty.get("read/replaced");
        await bucket.remove("read/replaced");
        await bucket.putOnce("read/replaced", randomBytes(mib));
        for await (const _ of found?.stream ?? []) {
          // The bytes do not matter.
        }
      },
    );
    await expect(reading).rejects.toThrow("read/replaced");
  });

  it("answers undefined for what is not there", async () => {
    expect(await bucket.get("read/none")).toBeUndefined();
    expect(await bucket.getJson("read/none")).toBeUndefined();
    expect(await bucket.head("read/none")).toBeUndefined();
    await bucket.remove("read/none");
  });

  it("lists page by page, in order", async () => {
    const keys = Array.from({ length: 1100 }, (_, n) => `list/${String(n).padStart(5, "0")}`);
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => bucket.putOnce(key, key)));
    }
    const seen: string[] = [];
    for await (const { key, size } of bucket.list("list/")) {
      expect(size).toBe(key.length);
      seen.push(key);
    }
    expect(seen).toEqual(keys);
  });
});

describe("errors", () => {
  it("names the bucket that does not exist", async () => {
    const missing = makeBucket(server.aws, "no-such-bucket");
    await expect(missing.putOnce("a", "b")).rejects.toMatchObject({
      reason: "store-unavailable",
      message: expect.stringContaining("no-such-bucket"),
    });
  });

  it.each(["PUT", "GET", "HEAD", "DELETE"])("names the permission that is missing for %s", async (refused) => {
    await throughFault(
      (method) => (method === refused ? { refuse: { status: 403, code: "AccessDenied" } } : undefined),
      async (faulty) => {
        const call = {
          PUT: () => faulty.putOnce("denied", "x"),
          GET: () => faulty.get("denied"),
          HEAD: () => faulty.head("denied"),
          DELETE: () => faulty.remove("denied"),
        }[refused] as () => Promise<unknown>;
        await expect(call()).rejects.toMatchObject({
          reason: "permission-denied",
          message: expect.stringMatching(/s3:\w+ on denied in bucket percona-demo-backups-1/),
        });
      },
    );
  });

  it("says that the store did not answer", async () => {
    const { client, s3 } = s3At("http://127.0.0.1:1");
    await expect(makeBucket({ s3 }, server.bucket).putOnce("a", "b")).rejects.toMatchObject({
      reason: "store-unavailable",
    });
    client.destroy();
  });
});
