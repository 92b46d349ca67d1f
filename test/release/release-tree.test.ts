import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assembleRelease, type ReleaseTree } from "../../.ci/assemble-release.ts";
import { actionNames, repositoryRoot } from "../../rolldown.config.ts";
import { fakeAws } from "./fake-aws.ts";
import { runActionFromTree } from "./run-action.ts";

let work: string;
let tree: ReleaseTree;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "percona-release-"));
  tree = await assembleRelease({ into: join(work, "tree") });
});

afterAll(() => rm(work, { recursive: true, force: true }));

const status = (inputs: Record<string, string>, env: Record<string, string> = {}) =>
  runActionFromTree({ tree: tree.directory, action: "status", inputs, env, timeoutMs: 60_000 });

describe("the release tree", () => {
  it("has the root action, an entry for each action, chunks and licences, and no sources or tests", () => {
    const { files } = tree;
    expect(files).toContain("action.yml");
    for (const name of actionNames(repositoryRoot)) expect(files).toContain(`dist/${name}.mjs`);
    expect(files).toContain("dist/licenses.txt");
    const allowed =
      /^(action\.yml|README\.md|LICENSE|dist\/[\w-]+\.mjs|dist\/licenses\.txt|(terraform|puppet)\/.+|[a-z-]+\/(action\.yml|README\.md))$/;
    expect(files.filter((path) => !allowed.test(path))).toEqual([]);
    expect(files.filter((path) => /^(actions|node-bin|test)\/|(^|\/)\.|\.ts$|tfstate/.test(path))).toEqual([]);
  });

  it("has the files of the root byte for byte", async () => {
    const [original, copied] = await Promise.all(
      [repositoryRoot, tree.directory].map((folder) => readFile(join(folder, "action.yml"), "utf8")),
    );
    expect(copied).toBe(original);
  });

  it("has every chunk that an entry asks for", async () => {
    for (const path of tree.files.filter((each) => each.endsWith(".mjs"))) {
      const code = await readFile(join(tree.directory, path), "utf8");
      const asked = [...code.matchAll(/(?:from|import\()\s*"\.\/([^"]+)"/g)].map((found) => `dist/${found[1]}`);
      expect(
        asked.filter((each) => !tree.files.includes(each)),
        path,
      ).toEqual([]);
    }
  });

  it("is assembled twice to the same bytes, over an earlier one too", async () => {
    const before = await snapshot(tree);
    expect(await snapshot(await assembleRelease({ into: join(work, "tree") }))).toEqual(before);
    expect(await snapshot(await assembleRelease({ into: join(work, "other") }))).toEqual(before);
  });

  it("is not assembled over a folder that holds something else", async () => {
    const foreign = join(work, "foreign");
    await mkdir(foreign);
    await writeFile(join(foreign, "thesis.txt"), "years of work");
    await expect(assembleRelease({ into: foreign })).rejects.toThrow("is no release tree; it was left as it is");
    expect(await readdir(foreign)).toEqual(["thesis.txt"]);
  });

  it("names the licence of every package in it", async () => {
    const licenses = await readFile(join(tree.directory, "dist/licenses.txt"), "utf8");
    for (const name of ["@actions/core", "@aws-sdk/client-ec2", "valibot"]) expect(licenses).toContain(`\n${name} `);
  });
});

const snapshot = async ({ directory, files }: ReleaseTree): Promise<Record<string, string>> =>
  Object.fromEntries(
    await Promise.all(files.map(async (path) => [path, await readFile(join(directory, path), "latin1")] as const)),
  );

describe("the status action, run from the tree", () => {
  it("refuses wrong inputs by name, before any call", async () => {
    const started = performance.now();
    const run = await status({ "cluster-id": "Orders", "fail-on": "always" });
    const took = performance.now() - started;
    expect(run.exitCode).toBe(1);
    expect(run.outputs).toEqual({ "failure-reason": "bad-input" });
    expect(run.log).toMatch(
      /^::error title=Status%3A bad-input::Input "cluster-id" is "Orders".*"fail-on" is "always"/m,
    );
    expect(run.summary).toMatch(/^## 🔴 Status failed: bad-input/);
    expect(run.log).not.toContain("    at ");
    expect(took).toBeLessThan(5000);
    console.log(`status.mjs refused its inputs after ${Math.round(took)} ms`);
  });

  it("asks for the region when nothing names one", async () => {
    const run = await status({ "cluster-id": "orders" });
    expect(run.outputs).toEqual({ "failure-reason": "bad-input" });
    expect(run.log).toContain("aws-region");
  });

  it("knows no cluster without instances and table, and looked at both", async () => {
    const aws = await fakeAws();
    try {
      const run = await status({ "cluster-id": "orders" }, aws.env);
      expect(run.outputs).toEqual({ "failure-reason": "unknown-cluster" });
      expect(run.log).toContain(
        "No instance in eu-west-1 carries the tag cluster_id=orders, and there is no table percona-orders-locks.",
      );
      expect(run.exitCode).toBe(1);
      expect(aws.calls).toEqual(["DescribeInstances", "GetItem"]);
    } finally {
      await aws.close();
    }
  });

  it("names the call that AWS refused", async () => {
    const aws = await fakeAws({ deny: true });
    try {
      const run = await status({ "cluster-id": "orders" }, aws.env);
      expect(run.outputs).toEqual({ "failure-reason": "permission-denied" });
      expect(run.log).toContain("AWS refused ec2:DescribeInstances on *");
      expect(run.log).toContain("Nothing was changed");
    } finally {
      await aws.close();
    }
  });

  it("shows a stack only when debug logging is on, where the runner takes no commands from it", async () => {
    const run = await status({ "cluster-id": "Orders" }, { RUNNER_DEBUG: "1" });
    expect(run.log).toMatch(
      /::group::Stack\n::stop-commands::([\w-]+)\n[\s\S]*Failure: [\s\S]*\n::\1::\n::endgroup::/i,
    );
  });
});
