import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { type OutputChunk, type RolldownOptions, rolldown } from "rolldown";
import {
  actionNames,
  actionOptions,
  lambdaFunctions,
  nodeFlags,
  nodeScriptOptions,
  nodeScripts,
  outputFolder,
  repositoryRoot,
} from "../rolldown.config.ts";
import { licensesFile, licensesOf } from "./licenses.ts";

/** One part of the product that is built on its own. */
export type BuildPart = keyof typeof outputFolder;

/** What one part's build did. */
export interface BuiltPart {
  readonly part: BuildPart;
  /** Where the files lie. */
  readonly directory: string;
  /** False when nothing had changed since the last build. */
  readonly built: boolean;
  /** Name and size in bytes of each file, sorted by name. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  readonly milliseconds: number;
}

export interface BuildOptions {
  /** The checkout; by default the one that this file lies in. */
  readonly root?: string;
  /** Default: all parts. */
  readonly parts?: readonly BuildPart[];
  /** Build even when nothing changed. */
  readonly force?: boolean;
}

/** A file to write: its name and its bytes. */
interface BuiltFile {
  readonly name: string;
  readonly content: string;
  readonly executable?: boolean;
}

/** What was built from what; lies beside the files. */
interface Stamp {
  readonly sources: string;
  /** SHA-256 of each file by its name. */
  readonly files: Readonly<Record<string, string>>;
}

const stampName = ".build.json";

const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

/**
 * The launcher of a node's script. The compile cache lies beside the scripts, because code in it is run: its folder must be
 * as trusted as theirs.
 */
const launcherText = (name: string): string => `#!/bin/sh
self=$(readlink -f "$0")
bin=\${self%/*}
: "\${NODE_COMPILE_CACHE=$bin/.compile-cache}"
export NODE_COMPILE_CACHE
exec "\${PERCONA_NODE:-node}" ${[...(nodeFlags[name] ?? []), ""].join(" ")}"$bin/${name}.mjs" "$@"
`;

/**
 * Builds what changed: `node-bin/*.ts` into `node-bin/dist`, `actions/<name>/index.ts` into `actions/dist`. The result depends on
 * the sources and the locked packages only. Files are replaced one by one and whole, so that a build beside a running lab or
 * another build never shows half a file.
 *
 * @throws rolldown's error when a source cannot be compiled; the files of the last build stay as they were.
 */
export async function build(options: BuildOptions = {}): Promise<BuiltPart[]> {
  const root = options.root ?? repositoryRoot;
  const parts = options.parts ?? (Object.keys(outputFolder) as BuildPart[]);
  const done: BuiltPart[] = [];
  for (const part of parts) done.push(await buildPart(root, part, options.force ?? false));
  return done;
}

async function buildPart(root: string, part: BuildPart, force: boolean): Promise<BuiltPart> {
  const started = performance.now();
  const directory = join(root, outputFolder[part]);
  const sources = await sourcesDigest(root, part);
  const finished = async (built: boolean): Promise<BuiltPart> => ({
    part,
    directory,
    built,
    files: await filesOf(directory),
    milliseconds: Math.round(performance.now() - started),
  });

  if (!force && (await isUpToDate(directory, sources))) return finished(false);

  const files = part === "node" ? await bundleNode(root) : await bundleActions(root);
  await replaceFiles(directory, files);
  const stamp: Stamp = {
    sources,
    files: Object.fromEntries(files.map((file) => [file.name, sha256(file.content)]).sort()),
  };
  await replaceFile(directory, { name: stampName, content: `${JSON.stringify(stamp, null, 2)}\n` });
  return finished(true);
}

async function bundleNode(root: string): Promise<BuiltFile[]> {
  const names = nodeScripts(root);
  const chunks: OutputChunk[] = [];
  for (const name of names) chunks.push(...(await bundle(nodeScriptOptions(root, name))));
  const launched = names.filter((name) => !lambdaFunctions.includes(name));
  const launchers = launched.map((name) => ({ name, content: launcherText(name), executable: true }));
  const files = await filesOfChunks(chunks);
  return [...files.map((file) => (file.name.endsWith(".mjs") ? inAscii(file) : file)), ...launchers];
}

/**
 * V8 keeps the text of a script for as long as it runs, with two bytes for every character when only one is not Latin. The bundler
 * escapes those in code; what is left are comments.
 */
function inAscii(file: BuiltFile): BuiltFile {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return { ...file, content: file.content.replace(/[^\0-\x7f]/g, escaped) };
}

async function bundleActions(root: string): Promise<BuiltFile[]> {
  return actionNames(root).length === 0 ? [] : filesOfChunks(await bundle(actionOptions(root)));
}

async function filesOfChunks(chunks: readonly OutputChunk[]): Promise<BuiltFile[]> {
  return [
    ...chunks.map(({ fileName, code }) => ({ name: fileName, content: code })),
    { name: licensesFile, content: await licensesOf(chunks.flatMap((chunk) => chunk.moduleIds)) },
  ];
}

async function bundle(options: RolldownOptions): Promise<OutputChunk[]> {
  const { output, ...input } = options;
  if (output === undefined || Array.isArray(output)) throw new Error("Each build has one output.");
  await using bundler = await rolldown({ ...input, onLog: refuseUnresolved });
  const result = await bundler.generate(output);
  return result.output.filter((file): file is OutputChunk => file.type === "chunk");
}

/** A package that is not found must fail here, not on a node at night. */
function refuseUnresolved(
  level: string,
  log: { code?: string; message: string },
  handle: (level: "warn" | "info" | "debug", log: { code?: string; message: string }) => void,
): void {
  if (log.code === "UNRESOLVED_IMPORT") throw new Error(log.message);
  if (level === "warn" || level === "info" || level === "debug") handle(level, log);
}

/** Digest of everything that the part's files depend on. */
async function sourcesDigest(root: string, part: BuildPart): Promise<string> {
  const folders = part === "node" ? ["node-bin"] : ["actions", "node-bin/lib/contract"];
  const lists = await Promise.all(folders.map((folder) => sourcesIn(join(root, folder))));
  const fixed = ["package.json", "package-lock.json", "rolldown.config.ts", ".ci/build.ts", ".ci/licenses.ts"];
  const paths = [...lists.flat(), ...fixed.map((path) => join(root, path))].filter((path) => existsSync(path));
  const hash = createHash("sha256");
  for (const path of paths.sort()) hash.update(`${relative(root, path)}\0${sha256(await readFile(path))}\n`);
  return hash.digest("hex");
}

async function sourcesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(ts|json)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !relative(folder, path).startsWith("dist/"));
}

async function isUpToDate(directory: string, sources: string): Promise<boolean> {
  try {
    const stamp = JSON.parse(await readFile(join(directory, stampName), "utf8")) as Stamp;
    if (stamp.sources !== sources) return false;
    for (const [name, digest] of Object.entries(stamp.files)) {
      if (sha256(await readFile(join(directory, name))) !== digest) return false;
    }
    return true;
  } catch {
    // No stamp, a damaged one, or a file gone: build.
    return false;
  }
}

async function replaceFiles(directory: string, files: readonly BuiltFile[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const file of files) await replaceFile(directory, file);
  const wanted = new Set(files.map((file) => file.name));
  // Names with a dot are not ours to remove: the compile cache, and files that another build is writing.
  const stale = (await readdir(directory)).filter((name) => !wanted.has(name) && !name.startsWith("."));
  for (const name of stale) await rm(join(directory, name), { recursive: true, force: true });
}

async function replaceFile(directory: string, file: BuiltFile): Promise<void> {
  const path = join(directory, file.name);
  const unfinished = join(directory, `.${file.name}.${randomUUID()}`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(unfinished, file.content);
  if (file.executable === true) await chmod(unfinished, 0o755);
  await rename(unfinished, path);
}

async function filesOf(directory: string): Promise<BuiltPart["files"]> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith(".")).sort();
  return Promise.all(names.map(async (name) => ({ name, bytes: (await readFile(join(directory, name))).byteLength })));
}

if (import.meta.main) {
  try {
    for (const { part, directory, built, files, milliseconds } of await build({
      force: process.argv.includes("--force"),
    })) {
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const what = built
        ? `${files.length} files, ${Math.round(bytes / 1024)} KiB, ${milliseconds} ms`
        : "nothing changed";
      console.log(`${part}: ${relative(process.cwd(), directory)} (${what})`);
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
