import { join } from "node:path";
import { type ActInstall, actInstall, actKey, actRecipe } from "./act.ts";
import { debianProgramRecipe } from "./debian-program.ts";
import { type Entry, type EntryTools, ensureEntry, findEntry, type Recipe } from "./entry.ts";
import { type HaproxyInstall, haproxyInstall, haproxyProgram } from "./haproxy.ts";
import { takeLock } from "./lock.ts";
import { type MysqlInstall, mysqlInstall, mysqlRecipe } from "./mysql.ts";
import { type NftablesInstall, nftablesInstall, nftablesProgram } from "./nftables.ts";
import { cacheRoot } from "./paths.ts";
import { type EntryName, type Missing, missingFor, missingText, realSurroundings } from "./prerequisites.ts";
import type { Report } from "./progress.ts";
import {
  findPythonEntry,
  ministack,
  moto,
  type PythonPackage,
  type PythonServer,
  pythonRecipe,
  pythonServer,
} from "./python.ts";
import { run } from "./run.ts";

export type { ActInstall } from "./act.ts";
export type { Entry } from "./entry.ts";
export type { HaproxyInstall } from "./haproxy.ts";
export type { MysqlInstall } from "./mysql.ts";
export type { EntryName, Missing } from "./prerequisites.ts";
export { type Progress, type Report, reportLines } from "./progress.ts";
export type { PythonServer } from "./python.ts";

/** What the lab always runs. */
export interface LabPrograms {
  readonly mysql: MysqlInstall;
  readonly moto: PythonServer;
  readonly ministack: PythonServer;
}

interface Source {
  find(root: string): Promise<Entry | undefined>;
  recipe(tools: EntryTools): Promise<Recipe>;
}

const pythonSource = (wanted: PythonPackage): Source => ({
  find: (root) => findPythonEntry(root, wanted),
  recipe: (tools) => pythonRecipe(wanted, tools),
});

const byKey = (recipe: (tools: EntryTools) => Recipe | Promise<Recipe>): Source => ({
  find: async (root) => findEntry(root, (await recipe(entryTools(root, () => {}))).key),
  recipe: async (tools) => recipe(tools),
});

const sources: Readonly<Record<EntryName, Source>> = {
  mysql: byKey((tools) => mysqlRecipe(tools, process.env)),
  moto: pythonSource(moto),
  ministack: pythonSource(ministack),
  haproxy: byKey((tools) => debianProgramRecipe(haproxyProgram, tools, process.env)),
  nftables: byKey((tools) => debianProgramRecipe(nftablesProgram, tools, process.env)),
  act: byKey(actRecipe),
};

function entryTools(root: string, report: Report): EntryTools {
  return { root, report, takeLock, run };
}

/** What the lab always needs; the others are built when somebody asks for them. */
export const labEntries: readonly EntryName[] = ["mysql", "moto", "ministack", "haproxy"];

/** Everything that this machine lacks to build those of the given entries that are not complete yet. */
export async function checkPrerequisites(
  names: readonly EntryName[] = labEntries,
  root: string = cacheRoot(),
): Promise<Missing[]> {
  const found = await Promise.all(names.map((name) => sources[name].find(root)));
  const absent = names.filter((_, index) => found[index] === undefined);
  return missingFor(absent, realSurroundings(root, process.env, run));
}

/**
 * The entries, in the order of the names; those that are not there are built at the same time. Needs no network and no process
 * when all are there.
 *
 * @throws naming all missing prerequisites at once, or all builds that failed, after all have ended.
 */
export async function ensureEntries(
  names: readonly EntryName[],
  report: Report,
  root: string = cacheRoot(),
): Promise<Entry[]> {
  const missing = await checkPrerequisites(names, root);
  if (missing.length > 0) throw new Error(missingText(missing));
  const ended = await Promise.allSettled(names.map((name) => ensureOne(name, report, root)));
  const failures = ended.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
  if (failures.length > 0) throw new AggregateError(failures, failures.map(({ message }) => message).join("\n"));
  return ended.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
}

async function ensureOne(name: EntryName, report: Report, root: string): Promise<Entry> {
  const found = await sources[name].find(root);
  if (found !== undefined) return found;
  const tools = entryTools(root, report);
  return ensureEntry(await sources[name].recipe(tools), tools);
}

async function ensure(name: EntryName, report: Report, root: string | undefined): Promise<Entry> {
  const [entry] = await ensureEntries([name], report, root);
  if (entry === undefined) throw new Error(`No entry ${name} was made, though nothing failed.`);
  return entry;
}

/** MySQL 9.7 LTS. */
export async function ensureMysql(report: Report, root?: string): Promise<MysqlInstall> {
  return mysqlInstall(await ensure("mysql", report, root));
}

/** The AWS control plane. */
export async function ensureMoto(report: Report, root?: string): Promise<PythonServer> {
  return pythonServer(await ensure("moto", report, root), moto);
}

/** The AWS data plane. */
export async function ensureMinistack(report: Report, root?: string): Promise<PythonServer> {
  return pythonServer(await ensure("ministack", report, root), ministack);
}

/** HAProxy of the running Debian release. */
export async function ensureHaproxy(report: Report, root?: string): Promise<HaproxyInstall> {
  return haproxyInstall(await ensure("haproxy", report, root));
}

/** nftables of the running Debian release. */
export async function ensureNftables(report: Report, root?: string): Promise<NftablesInstall> {
  return nftablesInstall(await ensure("nftables", report, root));
}

/** act; or, where there is no Go to build it, how to get it: a test that wants it is then skipped with that sentence. */
export async function ensureAct(report: Report, root: string = cacheRoot()): Promise<ActInstall> {
  const found = await findEntry(root, actKey);
  if (found !== undefined) return actInstall(found);
  const missing = await checkPrerequisites(["act"], root);
  if (missing.some(({ what }) => what === "go")) {
    return {
      available: false,
      how: `act is not in the cache (${join(root, actKey)}) and there is no Go to build it with: install Go 1.21 or newer, then run it again.`,
    };
  }
  return actInstall(await ensure("act", report, root));
}

/** All that the lab always runs. */
export async function ensureAll(report: Report, root: string = cacheRoot()): Promise<LabPrograms> {
  await ensureEntries(labEntries, report, root);
  const [mysql, motoServer, ministackServer] = await Promise.all([
    ensureMysql(report, root),
    ensureMoto(report, root),
    ensureMinistack(report, root),
  ]);
  return { mysql, moto: motoServer, ministack: ministackServer };
}
