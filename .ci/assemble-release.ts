import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { outputFolder, repositoryRoot } from "../rolldown.config.ts";
import { build } from "./build.ts";

export interface AssembleOptions {
  /** Folder to write the tree to: a new one, an empty one, or an earlier release tree, which is replaced. */
  readonly into: string;
  /** The checkout; by default the one that this file lies in. */
  readonly root?: string;
}

/** The release tree, as `uses: infrahouse/percona-actions@v1` finds it. */
export interface ReleaseTree {
  readonly directory: string;
  /** Paths relative to it, sorted. */
  readonly files: readonly string[];
}

/** Files of the root that go along, where they are there. */
const rootFiles = ["action.yml", "README.md", "LICENSE"];
/** Folders that ride along under the same tag. */
const ridingFolders = ["terraform", "puppet"];

/**
 * Builds the actions and lays out what a release contains: the root action, a folder with `action.yml` and `README.md` for each
 * other action, their compiled code in `dist/`, and `terraform/` and `puppet/`. The same commit gives the same bytes and modes.
 *
 * @throws when `into` holds something else, which is left as it is.
 */
export async function assembleRelease(options: AssembleOptions): Promise<ReleaseTree> {
  const root = options.root ?? repositoryRoot;
  const into = resolve(options.into);
  await refuseForeign(into);
  await build({ root, parts: ["actions"] });

  const unfinished = join(dirname(into), `.${randomUUID()}`);
  try {
    for (const [from, to] of await contents(root)) await place(join(root, from), join(unfinished, to));
    await rm(into, { recursive: true, force: true });
    await rename(unfinished, into);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return { directory: into, files: await filesIn(into) };
}

async function refuseForeign(into: string): Promise<void> {
  if (!existsSync(into)) return;
  const names = await readdir(into);
  if (names.length === 0 || (names.includes("action.yml") && names.includes("dist") && !names.includes(".git"))) return;
  throw new Error(
    `${into} is not empty and is no release tree; it was left as it is. Name another folder, or empty it.`,
  );
}

/** Pairs of a source and its place in the tree, both relative. */
async function contents(root: string): Promise<[string, string][]> {
  const pairs: [string, string][] = rootFiles
    .filter((name) => existsSync(join(root, name)))
    .map((name) => [name, name]);
  for (const action of await actionsWithFolder(root)) {
    for (const name of ["action.yml", "README.md"]) pairs.push([join("actions", action, name), join(action, name)]);
  }
  const built = await readdir(join(root, outputFolder.actions));
  for (const name of built.filter((each) => !each.startsWith("."))) {
    pairs.push([join(outputFolder.actions, name), join("dist", name)]);
  }
  for (const folder of ridingFolders.filter((name) => existsSync(join(root, name)))) {
    for (const path of await filesIn(join(root, folder), isLeftBehind)) {
      pairs.push([join(folder, path), join(folder, path)]);
    }
  }
  return pairs;
}

/** The root action has no folder of its own. */
async function actionsWithFolder(root: string): Promise<string[]> {
  const names = (await readdir(join(root, "actions"))).sort();
  return names.filter((name) => existsSync(join(root, "actions", name, "action.yml")));
}

/** What tools leave in a working folder, and what only serves the work on it. */
const isLeftBehind = (name: string): boolean =>
  name.startsWith(".") || name === "node_modules" || /\.(tfstate|tfplan)(\..*)?$/.test(name) || name === "crash.log";

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, await readFile(from));
  // Only what git keeps of a mode.
  await chmod(to, ((await stat(from)).mode & 0o100) === 0 ? 0o644 : 0o755);
}

async function filesIn(folder: string, leaveOut: (name: string) => boolean = () => false): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (leaveOut(entry.name)) continue;
    if (entry.isFile()) found.push(entry.name);
    if (entry.isDirectory()) {
      const inside = await filesIn(join(folder, entry.name), leaveOut);
      found.push(...inside.map((path) => join(entry.name, path)));
    }
  }
  return found.sort();
}

if (import.meta.main) {
  const [into] = process.argv.slice(2);
  try {
    if (into === undefined) throw new Error("Usage: npm run release:assemble -- FOLDER");
    const tree = await assembleRelease({ into });
    console.log(`${relative(process.cwd(), tree.directory) || "."}: ${tree.files.length} files`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
