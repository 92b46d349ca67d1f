import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cloneEngine } from "#node/lib/backup/clone-engine.ts";
import type { BackupEngine } from "#node/lib/backup/engine.ts";
import { endProcess } from "../ministack.ts";
import { cloneSourceOf, startServer, type TestServer, until } from "./mysql-fixture.ts";

let folder: string;
let server: TestServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "trouble-test-"));
  server = await startServer(folder, "source", 1);
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const engineIn = (workDir: string, defaultsFile = server.defaultsFile): BackupEngine =>
  cloneEngine({
    source: cloneSourceOf(server),
    program: { mysqld: server.mysqld, defaultsFile, osUser: "root" },
    datadir: server.datadir,
    workDir,
  });

const copyWith = (engine: BackupEngine, signal = AbortSignal.timeout(120_000)) =>
  engine.copy({ signal, progress: () => {} });

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`);

describe("a process that is killed while the copy is open", () => {
  it("leaves a server and a copy, which the next copy removes", async () => {
    const workDir = join(folder, "killed");
    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL("./clone-process.ts", import.meta.url)),
        server.defaultsFile,
        server.mysqld,
        join(folder, "source.sock"),
        server.datadir,
        workDir,
      ],
      { stdio: "ignore" },
    );
    const pidFile = join(workDir, "run", "started.pid");
    const pid = async (): Promise<number> => Number.parseInt(await readFile(pidFile, "utf8").catch(() => ""), 10);
    await until("the server of the copy", async () => isAlive(await pid()));
    const orphan = await pid();
    const [, socketFolder = ""] = (await readFile(pidFile, "utf8")).split("\n");
    expect(existsSync(socketFolder)).toBe(true);
    await endProcess(child, "SIGKILL");
    expect(isAlive(orphan)).toBe(true);

    const copy = await copyWith(engineIn(workDir));
    expect(isAlive(orphan)).toBe(false);
    expect(existsSync(socketFolder)).toBe(false);
    expect((await copy.facts()).gtid_set).toBe(await server.value("SELECT @@GLOBAL.gtid_executed"));
    await copy.discard();
    expect(await readdir(workDir)).toEqual([]);
  });
});

describe("a copy that is stopped", () => {
  it("ends its server and leaves nothing", async () => {
    const workDir = join(folder, "stopped");
    const stop = new AbortController();
    const copying = copyWith(engineIn(workDir), stop.signal);
    const ended = copying.catch((error: unknown) => error);
    await until("the server of the copy", async () => existsSync(join(workDir, "run", "started.pid")));
    stop.abort();
    expect(await ended).toMatchObject({ reason: "interrupted" });
    expect(await readdir(workDir)).toEqual([]);
  });
});

describe("a copy that does not open", () => {
  it("is no backup, and the failure has the server's own words", async () => {
    const workDir = join(folder, "unopened");
    // The running server has another page size than this file says.
    const wrong = join(folder, "wrong.cnf");
    await writeFile(wrong, `${await readFile(server.defaultsFile, "utf8")}innodb-page-size=32k\n`);
    await expect(copyWith(engineIn(workDir, wrong))).rejects.toMatchObject({
      reason: "backup-failed",
      message: expect.stringMatching(/could not be opened.*Corrupted page/s),
    });
    expect(await readdir(workDir)).toEqual([]);
  });
});

const mayMount = process.getuid?.() === 0;
if (!mayMount) console.warn("SKIPPED: the disk-full tests mount a small tmpfs, which only root may.");

describe.skipIf(!mayMount)("a disk without room for a copy", () => {
  const mounted: string[] = [];
  const tmpfs = async (name: string, size: string): Promise<string> => {
    const path = join(folder, name);
    await mkdir(path);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
    mounted.push(path);
    return path;
  };

  afterAll(() => {
    for (const path of mounted) execFileSync("umount", [path]);
  });

  it("is not filled: the copy is refused before it begins", async () => {
    const workDir = join(await tmpfs("small", "50m"), "work");
    await expect(copyWith(engineIn(workDir))).rejects.toMatchObject({
      reason: "disk-full",
      message: expect.stringMatching(/needs 2\d\d\.\d MB in .*, and 52\.4 MB are free/),
    });
    expect(await readdir(workDir)).toEqual([]);
  });

  it("is reported as such when only MySQL notices, and the server goes on", async () => {
    const small = await tmpfs("filling", "80m");
    const engine = cloneEngine({
      source: cloneSourceOf(server),
      program: { mysqld: server.mysqld, defaultsFile: server.defaultsFile, osUser: "root" },
      // Hides how large the copy will be.
      datadir: join(server.datadir, "sys"),
      workDir: join(small, "work"),
    });
    await expect(copyWith(engine)).rejects.toMatchObject({ reason: "disk-full" });
    expect(await readdir(join(small, "work"))).toEqual([]);
    expect(await server.value("SELECT 1")).toBe("1");
  });
});
