import { mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EntryTools, ensureEntry, findEntry, type Recipe } from "#lab/cache/entry.ts";
import type { TakeLock } from "#lab/cache/lock.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "cache-entry-"));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

/** The lock's rule within one process. */
function queueLock(): TakeLock {
  let tail = Promise.resolve();
  return async (_file, onWait) => {
    const before = tail;
    let release = (): void => {};
    tail = new Promise((resolve) => {
      release = resolve;
    });
    onWait("4711");
    await before;
    return { release: async () => release() };
  };
}

function tools(): EntryTools & { lines: string[] } {
  const lines: string[] = [];
  return {
    root,
    lines,
    report: ({ phase, state }) => lines.push(`${state}: ${phase}`),
    takeLock: queueLock(),
    run: async () => ({ stdout: "12\tsomewhere\n", stderr: "" }),
  };
}

function recipe(build: (directory: string) => Promise<void> = async () => {}): Recipe & { built: string[] } {
  const built: string[] = [];
  return {
    name: "thing",
    key: "thing-1",
    built,
    build: async (directory) => {
      built.push(directory);
      await writeFile(join(directory, "program"), "content");
      await symlink("program", join(directory, "link"));
      await build(directory);
      return { version: "1.0", witnesses: ["program", "link"] };
    },
  };
}

const builds = async (): Promise<string[]> =>
  (await readdir(join(root, "thing-1"))).filter((name) => name.startsWith("build-"));

describe("an entry", () => {
  it("is built once when two ask at the same time", async () => {
    const wanted = recipe();
    const shared = tools();
    const [first, second] = await Promise.all([ensureEntry(wanted, shared), ensureEntry(wanted, shared)]);
    expect(wanted.built).toHaveLength(1);
    expect(second).toEqual(first);
    expect(first).toMatchObject({ version: "1.0", directory: wanted.built[0], megabytes: 12 });
  });

  it("is found again without building and without the lock", async () => {
    const made = await ensureEntry(recipe(), tools());
    const refuseLock: TakeLock = () => Promise.reject(new Error("the lock was taken"));
    const again = await ensureEntry(recipe(), { ...tools(), takeLock: refuseLock });
    expect(again).toEqual(made);
  });

  it("is not seen before it is complete", async () => {
    let during: unknown = "not looked at";
    const wanted = recipe(async () => {
      during = await findEntry(root, "thing-1");
    });
    await ensureEntry(wanted, tools());
    expect(during).toBeUndefined();
    expect(await findEntry(root, "thing-1")).toBeDefined();
  });

  it("leaves nothing when its build fails, says so, and is built by the next call", async () => {
    const failing = recipe(() => Promise.reject(new Error("no route to the mirror")));
    await expect(ensureEntry(failing, tools())).rejects.toThrow(
      /thing.*no route to the mirror[\s\S]*removed[\s\S]*safe to run it again/,
    );
    expect(await builds()).toEqual([]);
    expect((await ensureEntry(recipe(), tools())).version).toBe("1.0");
  });

  it("discards the build of a process that was killed", async () => {
    await mkdir(join(root, "thing-1", "build-dead00"), { recursive: true });
    await writeFile(join(root, "thing-1", "build-dead00", "program"), "half");
    const shared = tools();
    const made = await ensureEntry(recipe(), shared);
    expect(await builds()).toEqual([made.directory.split("/").at(-1)]);
    expect(shared.lines).toContain("done: removal of an unfinished or damaged build");
  });

  const damages: [string, (directory: string) => Promise<void>][] = [
    ["a file of it was cut short", (directory) => truncate(join(directory, "program"), 3)],
    ["a file of it is gone", (directory) => rm(join(directory, "program"))],
    [
      "a link of it leads nowhere",
      async (directory) => {
        await rm(join(directory, "link"));
        await symlink("gone", join(directory, "link"));
      },
    ],
    ["its marker is not readable", (directory) => writeFile(join(directory, "..", "complete.json"), '{"version":')],
  ];
  for (const [what, damage] of damages) {
    it(`is built anew when ${what}`, async () => {
      const damaged = await ensureEntry(recipe(), tools());
      await damage(damaged.directory);
      expect(await findEntry(root, "thing-1")).toBeUndefined();
      const renewed = await ensureEntry(recipe(), tools());
      expect(renewed.directory).not.toBe(damaged.directory);
      expect(await builds()).toEqual([renewed.directory.split("/").at(-1)]);
    });
  }

  it("names the process that it waits for", async () => {
    const shared = tools();
    await ensureEntry(recipe(), shared);
    expect(shared.lines).toContain("begun: wait for process 4711, which sets it up");
  });
});
