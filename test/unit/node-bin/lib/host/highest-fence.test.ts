import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openHighestFence } from "#node/lib/host/highest-fence.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "highest-fence-"));
  path = join(folder, "highest-fence.json");
});
afterEach(() => rm(folder, { recursive: true }));

describe("the highest fence that a node has seen", () => {
  it("begins at zero and outlives a restart", async () => {
    const fence = await openHighestFence(path);
    expect(fence.current()).toBe(0);
    await fence.raise(7);
    expect((await openHighestFence(path)).current()).toBe(7);
  });

  it("never falls", async () => {
    const fence = await openHighestFence(path);
    await fence.raise(7);
    await fence.raise(3);
    expect(fence.current()).toBe(7);
    expect((await openHighestFence(path)).current()).toBe(7);
  });

  it("keeps the highest of many raised at once", async () => {
    const fence = await openHighestFence(path);
    await Promise.all([4, 9, 2, 8].map((n) => fence.raise(n)));
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ fence: 9 });
  });

  it("does not take a damaged file for a zero", async () => {
    await writeFile(path, "{");
    await expect(openHighestFence(path)).rejects.toThrow();
  });

  it("counts a fence as seen only once it is on disk", async () => {
    const fence = await openHighestFence(path);
    await rm(folder, { recursive: true });
    await expect(fence.raise(7)).rejects.toThrow();
    expect(fence.current()).toBe(0);
    // The folder is there again for the next time, and for the clean-up.
    folder = await mkdtemp(join(tmpdir(), "highest-fence-"));
  });
});
