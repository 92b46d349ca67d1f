import { access, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import * as v from "valibot";
import type { TakeLock } from "./lock.ts";
import { inPhase, type Report } from "./progress.ts";
import type { Run } from "./run.ts";

/*
 * An entry is a folder `<root>/<key>` with
 *   build-XXXXXX/    what was built, at the path where it stays: a Python environment cannot be moved afterwards
 *   complete.json    the marker: which of the builds is the good one; renamed into place as the last act
 *   lock             held while building
 * Each attempt builds in a new folder. So whatever a killed build leaves behind, even a child of it that still writes, cannot
 * reach a later attempt, and a reader sees a complete entry or none.
 */

/** How to make an entry. */
export interface Recipe {
  /** For progress lines, for example `mysql`. */
  readonly name: string;
  /** Folder name, with every version that decides the content. Change it when what the recipe makes changes. */
  readonly key: string;
  /** Builds and tries out everything in `directory`, which is new, empty and final. */
  build(directory: string): Promise<Built>;
}

/** What a build made. */
export interface Built {
  readonly version: string;
  /** Paths relative to the folder that are looked at each time before the entry is used: files by size, links by their target. */
  readonly witnesses: readonly string[];
}

/** A complete entry. */
export interface Entry {
  readonly key: string;
  readonly version: string;
  readonly directory: string;
  /** Size on disk, 10^6 bytes. */
  readonly megabytes: number;
  /** How long the build took. */
  readonly seconds: number;
}

/** What the effects of building need. */
export interface EntryTools {
  readonly root: string;
  readonly report: Report;
  readonly takeLock: TakeLock;
  readonly run: Run;
}

const Marker = v.object({
  version: v.string(),
  build: v.pipe(v.string(), v.regex(/^build-\w+$/)),
  /** Size in bytes of each witness that is a file, -1 for a link. */
  witnesses: v.record(v.string(), v.number()),
  megabytes: v.number(),
  seconds: v.number(),
});

/** The complete entry of this key, when there is one and its witnesses are as they were built. No process is started. */
export async function findEntry(root: string, key: string): Promise<Entry | undefined> {
  const folder = join(root, key);
  const text = await readFile(join(folder, "complete.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const marker = v.safeParse(v.pipe(v.string(), v.parseJson(), Marker), text);
  if (!marker.success) return undefined;
  const { version, build, witnesses, megabytes, seconds } = marker.output;
  const directory = join(folder, build);
  const intact = await Promise.all(
    Object.entries(witnesses).map(async ([path, size]) => {
      const seen = await witnessOf(join(directory, path)).catch(() => undefined);
      return seen === size;
    }),
  );
  return intact.every(Boolean) ? { key, version, directory, megabytes, seconds } : undefined;
}

/** The keys in the cache that begin with `prefix`, complete or not, in order. */
export async function listKeys(root: string, prefix = ""): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  return names.filter((name) => name.startsWith(prefix)).sort();
}

/**
 * The entry, built when it is not there. Of several processes that ask at once one builds and the others wait for it; when it is
 * killed, the next discards what it left and builds. A failed build leaves nothing, and it is safe to run it again.
 */
export async function ensureEntry(recipe: Recipe, tools: EntryTools): Promise<Entry> {
  const { root, report } = tools;
  const there = await findEntry(root, recipe.key);
  if (there !== undefined) return there;
  const folder = join(root, recipe.key);
  const began = performance.now();
  await mkdir(folder, { recursive: true });
  let waitedFor: string | undefined;
  const lock = await tools.takeLock(join(folder, "lock"), (holder) => {
    waitedFor = `wait for process ${holder}, which sets it up`;
    report({ entry: recipe.name, phase: waitedFor, state: "begun" });
  });
  if (waitedFor !== undefined) {
    report({ entry: recipe.name, phase: waitedFor, state: "done", seconds: (performance.now() - began) / 1000 });
  }
  try {
    const built = await findEntry(root, recipe.key);
    if (built !== undefined) return built;
    await discardLeftovers(recipe, folder, report);
    return await buildEntry(recipe, folder, tools);
  } finally {
    await lock.release();
  }
}

async function buildEntry(recipe: Recipe, folder: string, tools: EntryTools): Promise<Entry> {
  const began = performance.now();
  const directory = await mkdtemp(join(folder, "build-"));
  try {
    const { version, witnesses } = await recipe.build(directory);
    const sizes = await Promise.all(
      witnesses.map(async (path) => [path, await witnessOf(join(directory, path))] as const),
    );
    const { stdout } = await tools.run(["du", "--summarize", "--block-size=1MB", directory]);
    const megabytes = Number.parseInt(stdout, 10);
    const seconds = (performance.now() - began) / 1000;
    const marker: v.InferOutput<typeof Marker> = {
      version,
      build: basename(directory),
      witnesses: Object.fromEntries(sizes),
      megabytes,
      seconds,
    };
    await writeFile(join(directory, ".complete.json"), `${JSON.stringify(marker, undefined, 2)}\n`);
    await rename(join(directory, ".complete.json"), join(folder, "complete.json"));
    return { key: recipe.key, version, directory, megabytes, seconds };
  } catch (cause) {
    await removeBuild(directory);
    throw new Error(
      `Setting up ${recipe.name} in the cache failed: ${(cause as Error).message}\nWhat was begun has been removed, and other entries are untouched. It is safe to run it again.`,
      { cause },
    );
  }
}

/** Removes builds that nobody finished. Only under the lock: then no live process builds here. */
async function discardLeftovers(recipe: Recipe, folder: string, report: Report): Promise<void> {
  const names = await readdir(folder);
  await rm(join(folder, "complete.json"), { force: true });
  const leftovers = names.filter((name) => name.startsWith("build-"));
  if (leftovers.length === 0) return;
  await inPhase(report, recipe.name, "removal of an unfinished or damaged build", () =>
    Promise.all(leftovers.map((name) => removeBuild(join(folder, name)))),
  );
}

/** A killed build's children may write for a moment longer, which makes the removal of a folder fail: hence the retries. */
function removeBuild(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

async function witnessOf(path: string): Promise<number> {
  const status = await lstat(path);
  if (status.isFile()) return status.size;
  await access(path);
  return -1;
}
