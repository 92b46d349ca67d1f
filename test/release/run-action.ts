import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { runProcess } from "./process.ts";

/** What an action's run left. */
export interface ActionRun {
  readonly exitCode: number | undefined;
  readonly outputs: Readonly<Record<string, string>>;
  /** Markdown of the job summary. */
  readonly summary: string;
  /** Standard output and error, as the log shows them, with the workflow commands. */
  readonly log: string;
}

export interface ActionRunOptions {
  /** A release tree. */
  readonly tree: string;
  /** `status` is the root's; others are the folder of that name. */
  readonly action: string;
  readonly inputs?: Readonly<Record<string, string>>;
  /** Variables of the job, such as AWS_REGION; nothing else is inherited but PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** The whole run, milliseconds. */
  readonly timeoutMs?: number;
}

interface ActionFile {
  readonly inputs?: Readonly<Record<string, { readonly required?: boolean; readonly default?: unknown } | null>>;
  readonly runs: { readonly using: string; readonly pre?: string; readonly main: string; readonly post?: string };
}

/** The name of the action whose `action.yml` lies in the root. */
const rootAction = "status";

/**
 * Runs an action of a release tree as GitHub's runner would: its `action.yml` says what is run and what the inputs default to, and its
 * scripts find inputs, outputs, state and summary where the runner puts them. Run with the Node that runs this.
 *
 * @throws when an input is not one of the action's, or the run passes its deadline.
 */
export async function runActionFromTree(options: ActionRunOptions): Promise<ActionRun> {
  const { tree, action, inputs = {}, env = {}, timeoutMs = 180_000 } = options;
  const folder = action === rootAction ? tree : join(tree, action);
  const file = parse(await readFile(join(folder, "action.yml"), "utf8")) as ActionFile;
  if (file.runs.using !== "node24") throw new Error(`${action} is run by ${file.runs.using}, not by node24.`);
  const work = await mkdtemp(join(tmpdir(), "percona-action-"));
  try {
    const files = {
      GITHUB_OUTPUT: join(work, "output"),
      GITHUB_STATE: join(work, "state"),
      GITHUB_STEP_SUMMARY: join(work, "summary"),
      GITHUB_ENV: join(work, "env"),
      GITHUB_PATH: join(work, "path"),
    };
    for (const path of Object.values(files)) await writeFile(path, "");
    const fixed = {
      PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ""}`,
      HOME: work,
      CI: "true",
      GITHUB_ACTIONS: "true",
      GITHUB_ACTION_PATH: folder,
      GITHUB_WORKSPACE: work,
      RUNNER_TEMP: work,
      RUNNER_OS: "Linux",
      ...files,
      ...inputVariables(action, file, inputs),
      ...env,
    };
    let exitCode: number | undefined = 0;
    let log = "";
    for (const script of [file.runs.pre, file.runs.main, file.runs.post]) {
      if (script === undefined) continue;
      const ended = await runProcess([process.execPath, join(folder, script)], {
        env: { ...fixed, ...stateVariables(await readFile(files.GITHUB_STATE, "utf8")) },
        cwd: work,
        timeoutMs,
      });
      log += ended.stdout + ended.stderr;
      // The post script runs whatever became of the others; the first failure is the step's.
      if (exitCode === 0) exitCode = ended.exitCode;
    }
    return {
      exitCode,
      outputs: parseFileCommands(await readFile(files.GITHUB_OUTPUT, "utf8")),
      summary: await readFile(files.GITHUB_STEP_SUMMARY, "utf8"),
      log,
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function inputVariables(
  action: string,
  file: ActionFile,
  inputs: Readonly<Record<string, string>>,
): Record<string, string> {
  const declared = file.inputs ?? {};
  const unknown = Object.keys(inputs).filter((name) => !(name in declared));
  if (unknown.length > 0) {
    throw new Error(
      `${action} has no input ${unknown.join(", ")}; it has ${Object.keys(declared).join(", ")}. Nothing was run.`,
    );
  }
  return Object.fromEntries(
    Object.entries(declared).map(([name, input]) => {
      const value = inputs[name] ?? (input?.default === undefined ? "" : String(input.default));
      return [`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`, value];
    }),
  );
}

const stateVariables = (text: string): Record<string, string> =>
  Object.fromEntries(Object.entries(parseFileCommands(text)).map(([name, value]) => [`STATE_${name}`, value]));

/** The runner's file format: `name=value` lines, and `name<<END … END` for values with several lines. */
export function parseFileCommands(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (line === "") continue;
    const long = /^([^=]*?)<<(.+)$/.exec(line);
    if (long) {
      const end = lines.indexOf(long[2] ?? "", at + 1);
      if (end < 0) throw new Error(`No line ends the value of ${long[1]}.`);
      values[long[1] ?? ""] = lines.slice(at + 1, end).join("\n");
      at = end;
    } else {
      const equals = line.indexOf("=");
      if (equals < 0) throw new Error(`Neither a value nor a name: ${line}`);
      values[line.slice(0, equals)] = line.slice(equals + 1);
    }
  }
  return values;
}
