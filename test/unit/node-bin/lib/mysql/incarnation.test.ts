import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatIncarnation, makeIncarnation, startTicksOf } from "#node/lib/mysql/incarnation.ts";

const stat = (name: string, startTicks: number): string =>
  `123 (${name}) S 1 123 123 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 40 0 ${startTicks} 1000 2000 ${"0 ".repeat(28)}0\n`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "incarnation-"));
  await mkdir(join(folder, "sys/kernel/random"), { recursive: true });
  await writeFile(join(folder, "sys/kernel/random/boot_id"), "a70c3902-3096-4ce7-a2a0-f0a30b1fa3ee\n");
  await mkdir(join(folder, "123"));
  await writeFile(join(folder, "123/stat"), stat("mysqld", 5000));
  await writeFile(join(folder, "mysqld.pid"), "123\n");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const look = (): Promise<string | undefined> => makeIncarnation(folder, folder).current(join(folder, "mysqld.pid"));

describe("the start of a process", () => {
  it.each(["mysqld", "ld-linux-x86-64", "my (sq) ld) S 1 2"])("is found whatever its name is: %s", (name) => {
    expect(startTicksOf(stat(name, 4711))).toBe("4711");
  });

  it("is not made up", () => {
    expect(startTicksOf("")).toBeUndefined();
    expect(startTicksOf("123 (mysqld) S 1")).toBeUndefined();
  });
});

describe("an incarnation", () => {
  it("fits into the topology record with the longest parts", () => {
    const text = formatIncarnation({
      bootId: "a70c3902-3096-4ce7-a2a0-f0a30b1fa3ee",
      pid: 4_194_304,
      startTicks: "18446744073709551615",
      relayLog: "f640eec8",
    });
    expect(text.length).toBeLessThanOrEqual(100);
  });

  it("stays while the same mysqld runs, also for another process that looks", async () => {
    const seen = await look();
    expect(seen).toBeDefined();
    expect(await look()).toBe(seen);
  });

  it("is another after a restart, also when the process id is used again", async () => {
    const seen = await look();
    await writeFile(join(folder, "123/stat"), stat("mysqld", 5001));
    expect(await look()).not.toBe(seen);
  });

  it("is another after a boot", async () => {
    const seen = await look();
    await writeFile(join(folder, "sys/kernel/random/boot_id"), "00000000-3096-4ce7-a2a0-f0a30b1fa3ee\n");
    expect(await look()).not.toBe(seen);
  });

  it.each(["nobody has", "is empty", "has no process"])("is none when the pid file %s", async (what) => {
    const pidFile = join(folder, "mysqld.pid");
    if (what === "nobody has") await rm(pidFile);
    if (what === "is empty") await writeFile(pidFile, "");
    if (what === "has no process") await writeFile(pidFile, "999999\n");
    expect(await look()).toBeUndefined();
  });

  it("changes before the relay log is discarded and again after it, whether that worked or not", async () => {
    const before = await look();
    const source = makeIncarnation(folder, folder);
    let during: string | undefined;
    await expect(
      source.discarding(async () => {
        during = await look();
        throw new Error("refused");
      }),
    ).rejects.toThrow("refused");
    const after = await look();
    expect(new Set([before, during, after]).size).toBe(3);
  });
});
