import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { saysDiskFull } from "#node/lib/backup/disk.ts";
import { pieces } from "#node/lib/backup/pieces.ts";
import { byteProgress, humanBytes } from "#node/lib/backup/progress.ts";

async function* chunked(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

describe("pieces of a stream", () => {
  it("hold the same bytes in order, all but the last of the stated size, none empty", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 })),
        fc.integer({ min: 1, max: 30 }),
        async (chunks, size) => {
          const found: Buffer[] = [];
          for await (const piece of pieces(chunked(chunks), size)) {
            const parts: Uint8Array[] = [];
            for await (const part of piece) parts.push(part);
            found.push(Buffer.concat(parts));
          }
          expect(Buffer.concat(found)).toEqual(Buffer.concat(chunks));
          expect(found.slice(0, -1).every(({ length }) => length === size)).toBe(true);
          expect(found.every(({ length }) => length > 0)).toBe(true);
        },
      ),
    );
  });

  it("close their source when the reader leaves", async () => {
    let closed = false;
    const source = (async function* () {
      try {
        for (;;) yield Buffer.from("x");
      } finally {
        closed = true;
      }
    })();
    for await (const _ of pieces(source, 3)) break;
    expect(closed).toBe(true);
  });
});

describe("progress", () => {
  it("is told often in the beginning and once a minute later", () => {
    let now = 0;
    const lines: string[] = [];
    const progress = byteProgress(
      "sent",
      (line) => lines.push(line),
      400_000_000,
      () => now,
    );
    for (; now < 400_000; now += 100) progress.add(100_000);
    progress.end();
    const seconds = lines.map((line) => Number(/in ([\d.]+) s/.exec(line)?.[1]));
    expect(seconds).toEqual([1, 2, 5, 10, 30, 60, 120, 180, 240, 300, 360, 400]);
    expect(lines.at(-1)).toBe("sent 400.0 MB of 400.0 MB (100 %) in 400.0 s, 1.0 MB/s");
  });

  it("does not catch up with lines that nobody waited for", () => {
    let now = 0;
    const lines: string[] = [];
    const progress = byteProgress(
      "sent",
      (line) => lines.push(line),
      undefined,
      () => now,
    );
    now = 3_600_000;
    progress.add(1);
    progress.add(1);
    expect(lines).toHaveLength(1);
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1500, "1.5 kB"],
    [5e12, "5.0 TB"],
    [5e15, "5000.0 TB"],
  ])("writes %i as %s", (bytes, text) => expect(humanBytes(bytes)).toBe(text));
});

describe("a full disk", () => {
  it.each([
    Object.assign(new Error("write"), { code: "ENOSPC" }),
    Object.assign(new Error("Clone estimated database size is 170 MiB."), { errno: 3873 }),
    new Failure("disk-full", { message: "full" }),
    "tar: ./a: Cannot write: No space left on device",
    "tar: ./a: Wrote only 4096 of 10240 bytes",
    "[ERROR] InnoDB: Error number 28, OS errno 28 - No space",
  ])("is recognised in %s", (said) => expect(saysDiskFull(said)).toBe(true));

  it.each([new Error("errno: 281"), new Failure("internal", { message: "No space left on device" }), "", undefined])(
    "is not seen in %s",
    (said) => expect(saysDiskFull(said)).toBe(false),
  );
});
