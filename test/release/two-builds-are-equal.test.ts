import { cp, mkdtemp, readdir, readFile, rm, stat, symlink, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "../../.ci/build.ts";
import { lambdaFunctions, nodeScripts, repositoryRoot } from "../../rolldown.config.ts";
import { runProcess } from "./process.ts";

const sources = ["actions", "node-bin", "package.json", "package-lock.json", "rolldown.config.ts", ".ci"];
let work: string;
const checkout = (name: string): string => join(work, name);

/** A checkout at another place, as another machine would have it. */
const copy = async (name: string): Promise<void> => {
  for (const source of sources) {
    await cp(join(repositoryRoot, source), join(checkout(name), source), {
      recursive: true,
      filter: (path) => !path.endsWith("/dist"),
    });
  }
  await symlink(join(repositoryRoot, "node_modules"), join(checkout(name), "node_modules"));
};

/** Bytes and mode of each file by its path. */
const contents = async (name: string): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  for (const folder of ["actions/dist", "node-bin/dist"]) {
    for (const file of (await readdir(join(checkout(name), folder))).sort()) {
      const path = join(checkout(name), folder, file);
      found[`${folder}/${file}`] = `${((await stat(path)).mode & 0o777).toString(8)} ${await readFile(path, "latin1")}`;
    }
  }
  return found;
};

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "percona-builds-"));
  await copy("one");
  await copy("a-longer-name-for-two");
});

afterAll(() => rm(work, { recursive: true, force: true }));

describe("the build", () => {
  it("gives the same bytes at another place and at another time", async () => {
    await build({ root: checkout("one") });
    for (const source of ["package.json", "actions/status/main.ts"]) {
      await utimes(join(checkout("a-longer-name-for-two"), source), new Date(0), new Date(0));
    }
    await build({ root: checkout("a-longer-name-for-two") });
    const [one, two] = [await contents("one"), await contents("a-longer-name-for-two")];
    expect(Object.keys(two)).toEqual(Object.keys(one));
    expect(Object.keys(one)).toContain("actions/dist/status.mjs");
    for (const [path, content] of Object.entries(one)) expect(two[path] === content, path).toBe(true);
  });

  it("names no place of the machine that built it", async () => {
    for (const [path, content] of Object.entries(await contents("one"))) {
      expect(
        [work, repositoryRoot].filter((place) => content.includes(place)),
        path,
      ).toEqual([]);
    }
  });

  it("writes the nodes' scripts in ASCII, because V8 keeps their text in memory", async () => {
    const scripts = Object.entries(await contents("one")).filter(([path]) => /^node-bin\/.*\.mjs$/.test(path));
    expect(scripts.length).toBeGreaterThan(0);
    for (const [path, content] of scripts) expect(content.length === Buffer.byteLength(content), path).toBe(true);
  });

  it("does nothing when nothing changed, and builds again when a file was lost", async () => {
    const again = await build({ root: checkout("one") });
    expect(again.map(({ part, built }) => [part, built])).toEqual([
      ["node", false],
      ["actions", false],
    ]);
    for (const { milliseconds } of again) expect(milliseconds).toBeLessThan(5000);
    await rm(join(checkout("one"), "actions/dist/status.mjs"));
    const repaired = await build({ root: checkout("one") });
    expect(repaired.map(({ part, built }) => [part, built])).toEqual([
      ["node", false],
      ["actions", true],
    ]);
  });

  it("makes of each script of a node one file, a launcher, and nothing beside them", async () => {
    const files = (await readdir(join(checkout("one"), "node-bin/dist"))).filter((name) => !name.startsWith("."));
    const names = nodeScripts(repositoryRoot);
    expect(names).toContain("operation");
    const launched = names.filter((name) => !lambdaFunctions.includes(name));
    expect(files.sort()).toEqual(["licenses.txt", ...launched, ...names.map((name) => `${name}.mjs`)].sort());
  });

  it.each(lambdaFunctions)(
    "makes of %s a file that exports its handler and does nothing when it is loaded",
    async (name) => {
      const file = join(checkout("one"), "node-bin/dist", `${name}.mjs`);
      const look = `const { handler } = await import(process.argv[1]); console.log(typeof handler, process.getActiveResourcesInfo().length)`;
      const ended = await runProcess([process.execPath, "--input-type=module", "-e", look, file], {
        env: {},
        cwd: "/",
        timeoutMs: 20_000,
      });
      expect(ended).toMatchObject({ exitCode: 0, stderr: "", stdout: expect.stringMatching(/^function \d+\n$/) });
    },
  );

  it("runs a node's script through its launcher from any folder, by a link, with a compile cache beside it", async () => {
    const bin = join(checkout("one"), "node-bin/dist");
    const link = join(work, "linked-operation");
    await symlink(join(bin, "operation"), link);
    const env = { PATH: process.env.PATH ?? "", PERCONA_NODE: process.execPath };
    const version = JSON.parse(await readFile(join(repositoryRoot, "package.json"), "utf8")) as { version: string };
    const ended = await runProcess([link, "--version"], { env, cwd: "/", timeoutMs: 20_000 });
    expect(ended).toMatchObject({ exitCode: 0, stdout: `${version.version}\n` });
    expect(await readdir(join(bin, ".compile-cache"))).not.toEqual([]);
  });
});
