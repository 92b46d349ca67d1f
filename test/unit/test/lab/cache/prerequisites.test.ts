import { describe, expect, it } from "vitest";
import { type EntryName, missingFor, missingText, type Surroundings } from "#lab/cache/prerequisites.ts";

const all: readonly EntryName[] = ["mysql", "moto", "ministack", "haproxy", "nftables", "act"];

const complete: Surroundings = {
  hasProgram: async () => true,
  python: async () => ({ version: [3, 11], makesEnvironments: true }),
  freeMegabytes: async () => 100_000,
};

const without = (...programs: string[]): Surroundings => ({
  ...complete,
  hasProgram: async (name) => !programs.includes(name),
});

const names = async (entries: readonly EntryName[], around: Surroundings): Promise<string[]> =>
  (await missingFor(entries, around)).map(({ what }) => what);

describe("missing prerequisites", () => {
  it("are none on a machine that has all", async () => {
    expect(await missingFor(all, complete)).toEqual([]);
  });

  it("are named all at once, each with who needs it and how to get it", async () => {
    const bare: Surroundings = {
      hasProgram: async () => false,
      python: async () => undefined,
      freeMegabytes: async () => 10,
    };
    const missing = await missingFor(all, bare);
    expect(missing.map(({ what }) => what)).toEqual([
      "flock",
      "setpriv",
      "du",
      "apt-get",
      "apt-config",
      "dpkg",
      "tar",
      "go",
      "python3, 3.10 or newer, with venv",
      "3000 MB of free space in the cache folder (10 MB are free)",
    ]);
    for (const { neededFor, get } of missing) expect([neededFor, get]).not.toContain("");
    const text = missingText(missing);
    expect(text).toContain("10 things are missing on this machine; nothing was changed:");
    for (const { what, neededFor, get } of missing)
      expect(text).toContain(`  - ${what} (for ${neededFor}): ${get}
`);
  });

  it("are only those of the entries that will be built", async () => {
    expect(await names(["moto"], without("apt-get", "dpkg", "go"))).toEqual([]);
    expect(await names(["mysql"], without("go"))).toEqual([]);
    expect(await names(["mysql"], without("apt-get"))).toEqual(["apt-get"]);
    expect(await names([], { ...complete, hasProgram: async () => false })).toEqual([]);
  });

  it("tell a Python that is too old from one that cannot make environments", async () => {
    const python = (version: [number, number], makesEnvironments: boolean): Surroundings => ({
      ...complete,
      python: async () => ({ version, makesEnvironments }),
    });
    expect(await names(["moto"], python([3, 9], true))).toEqual(["python3, 3.10 or newer"]);
    expect(await names(["moto"], python([3, 13], false))).toEqual(["the venv module of python3"]);
    expect(await names(["moto"], python([3, 10], true))).toEqual([]);
  });
});
