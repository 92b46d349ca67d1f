import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { assembleRelease } from "../../../.ci/assemble-release.ts";
import { runActionFromTree } from "../../release/run-action.ts";
import type { MachineOperation } from "../controls.ts";
import { clientOptionFile, type SqlResult } from "../sql.ts";
import { overviewText, textTable } from "../tables.ts";
import type { LabView } from "../view.ts";
import { type CommandLine, UsageError } from "./arguments.ts";
import { withLab } from "./find-lab.ts";
import { memoryText } from "./messages.ts";
import { print, printJson, say } from "./output.ts";

/** Shows the lab once. */
export const status = (line: CommandLine): Promise<void> =>
  withLab(line.lab, async (view, controls) => {
    const [overview, memory] = await Promise.all([view.overview(), controls.memory()]);
    if (line.json) printJson({ ...overview, memory });
    else print(`${overviewText(overview)}\n${memoryText(memory)}`);
  });

/** Kills, starts, stops, or lets go on. */
export const operateMachine = (line: CommandLine, operation: MachineOperation): Promise<void> =>
  withLab(line.lab, async (_, controls) => {
    const [name = "", unit] = line.args;
    const done = await controls.machine(name, operation, unit);
    if (line.json) printJson({ node: name, operation, done });
    else print(done);
  });

export const terminate = (line: CommandLine): Promise<void> =>
  withLab(line.lab, async (view) => {
    const [name = ""] = line.args;
    const { instanceId } = await view.node(name);
    await view.terminate(name);
    const done = `${name}, instance ${instanceId}, is being terminated; its group launches another.`;
    if (line.json) printJson({ node: name, instanceId, done });
    else print(done);
  });

/** Runs a statement, or MySQL's own client. */
export const sql = (line: CommandLine): Promise<void> =>
  withLab(line.lab, async (view) => {
    const [target = "", statement] = line.args;
    if (statement !== undefined) {
      const result = await view.sql(target, statement);
      if (line.json) printJson(result);
      else print(resultText(result));
    } else if (line.json) throw new UsageError("sql --json wants a statement.");
    else process.exitCode = await interactiveSql(view, target);
  });

function resultText(result: SqlResult): string {
  if ("affectedRows" in result) return `${result.affectedRows} rows affected`;
  const cell = (value: unknown): string => {
    if (value === null) return "NULL";
    return Buffer.isBuffer(value) ? `0x${value.toString("hex")}` : String(value);
  };
  const rows = result.rows.map((row) => result.columns.map((column) => cell(row[column])));
  return textTable(result.columns, rows);
}

/** The password goes by a file that only this user can read, and that is gone afterwards. */
async function interactiveSql(view: LabView, target: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "lab-sql-"));
  // Ctrl-C is the client's.
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  try {
    const file = join(folder, "client.cnf");
    await writeFile(file, clientOptionFile(await view.login(target)), { mode: 0o600 });
    const client = spawn(view.description.programs.mysql, [`--defaults-extra-file=${file}`], { stdio: "inherit" });
    const [code, signal] = (await once(client, "exit")) as [number | null, NodeJS.Signals | null];
    return signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  } finally {
    process.off("SIGINT", ignore);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Shows journals, each line after the name of its unit. */
export const logs = (line: CommandLine): Promise<void> =>
  withLab(line.lab, async (view) => {
    const [name = "", word] = line.args;
    const { logDirectory } = await view.node(name);
    const wanted = word === undefined ? undefined : unitOf(word);
    if (line.json) {
      if (line.follow) throw new UsageError("logs takes --json or -f, not both.");
      const all = await view.logs(name);
      return printJson(wanted === undefined ? all : { [wanted]: all[wanted] ?? "" });
    }
    const places = new Map<string, number>();
    for (;;) {
      for (const unit of await journals(logDirectory)) {
        if (wanted === undefined || unit === wanted) await printFrom(logDirectory, unit, places);
      }
      if (!line.follow) return;
      await delay(200);
    }
  });

const journals = async (folder: string): Promise<string[]> =>
  (await readdir(folder))
    .filter((file) => file.endsWith(".log"))
    .map((file) => file.slice(0, -".log".length))
    .sort();

/** Prints whole lines that were not printed yet. */
async function printFrom(folder: string, unit: string, places: Map<string, number>): Promise<void> {
  const file = await open(join(folder, `${unit}.log`));
  try {
    const start = places.get(unit) ?? 0;
    const { size } = await file.stat();
    if (size <= start) return;
    const { buffer } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const end = buffer.lastIndexOf("\n") + 1;
    if (end === 0) return;
    places.set(unit, start + end);
    const lines = buffer.toString("utf8", 0, end).split("\n").slice(0, -1);
    print(lines.map((line) => `${unit.padEnd(17)} | ${line}`).join("\n"));
  } finally {
    await file.close();
  }
}

function unitOf(word: string): string {
  const known: Readonly<Record<string, string>> = {
    mysqld: "mysql",
    agent: "percona-agent",
    bootstrap: "percona-bootstrap",
  };
  return known[word] ?? word;
}

/** Assembles the release tree from this checkout and runs one of its actions against the lab. */
export const run = (line: CommandLine): Promise<void> =>
  withLab(line.lab, async ({ description }) => {
    const [action = ""] = line.args;
    const { directory } = await assembleRelease({ into: join(description.paths.directory, "release") });
    const result = await runActionFromTree({
      tree: directory,
      action,
      inputs: { "cluster-id": description.cluster.clusterId, ...line.inputs },
      env: description.operatorEnvironment,
    });
    process.exitCode = result.exitCode ?? 1;
    if (line.json) return printJson(result);
    print(result.log);
    say("");
    print(`--- job summary\n${result.summary}\n--- outputs`);
    for (const [name, value] of Object.entries(result.outputs)) print(`${name}=${value}`);
  });
