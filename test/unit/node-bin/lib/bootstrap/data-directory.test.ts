import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DataDirectories, dataDirectories } from "#node/lib/bootstrap/data-directory.ts";
import { marker } from "../cluster/samples.ts";

let folder: string;
let datadir: string;
let data: DataDirectories;
const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "data-directory-"));
  datadir = join(folder, "data");
  data = dataDirectories(datadir, "c1");
});
afterEach(() => rm(folder, { recursive: true }));

describe("the place of the data directory", () => {
  it("is empty until a finished directory is renamed into it", async () => {
    const building = await data.beginBuilding(me);
    await writeFile(join(building, "ibdata1"), "x");
    expect((await data.look()).kind).toBe("absent");
    await data.place(building, marker());
    expect(await data.look()).toMatchObject({ kind: "ours", marker: { formation: 3 } });
    expect(await readdir(folder)).toEqual(["data"]);
  });

  it("takes an empty folder that a mount left there, and nothing else", async () => {
    await mkdir(datadir);
    await data.place(await data.beginBuilding(me), marker());
    expect((await data.look()).kind).toBe("ours");
    await expect(data.place(await data.beginBuilding(me), marker({ formation: 9 }))).rejects.toThrow();
    expect(await data.look()).toMatchObject({ marker: { formation: 3 } });
  });

  it("discards what an interrupted run was building", async () => {
    await writeFile(join(await data.beginBuilding(me), "half"), "x");
    expect(await readdir(await data.beginBuilding(me))).toEqual([]);
  });

  it("keeps what is set aside, under a name that says when", async () => {
    await data.place(await data.beginBuilding(me), marker());
    const name = await data.setAside(new Date("2026-11-21T00:17:05.123Z"));
    expect(name).toBe(`${datadir}.set-aside-2026-11-21T00-17-05.123Z`);
    expect((await data.look()).kind).toBe("absent");
    expect(await readdir(name)).toEqual([".percona-actions.json"]);
    await data.place(await data.beginBuilding(me), marker());
    const second = await data.setAside(new Date("2026-11-22T00:00:00.000Z"));
    expect(await data.setAsideBefore()).toEqual([name, second]);
  });

  it("does not take another's directory for its own", async () => {
    await mkdir(datadir);
    await writeFile(join(datadir, "ibdata1"), "x");
    expect((await data.look()).kind).toBe("foreign");
  });
});
