import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runProcess } from "./process.ts";

/** One step of a job, as act ran it. */
export interface ActStep {
  readonly job: string;
  readonly id: string;
  readonly result: string | undefined;
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
  readonly annotations: readonly { readonly level: string; readonly title: string; readonly message: string }[];
  /** What its scripts wrote. */
  readonly log: string;
}

export interface ActRun {
  readonly exitCode: number | undefined;
  /** `success` or `failure` by job id. */
  readonly jobs: Readonly<Record<string, string>>;
  readonly steps: readonly ActStep[];
  /** What act said, a line for each message, for people. */
  readonly log: string;
}

export interface ActOptions {
  /** The program; see `ensureAct`. */
  readonly act: string;
  /** A release tree, which stands for `infrahouse/percona-actions@v1`. */
  readonly tree: string;
  /** Text of a workflow with `on: workflow_dispatch`. */
  readonly workflow: string;
  /** Variables of every job. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** A workflow that asks for the status of one cluster, as its owner would write it. */
export const statusWorkflow = (clusterId: string): string =>
  [
    "on: workflow_dispatch",
    "jobs:",
    "  status:",
    "    runs-on: ubuntu-latest",
    "    steps:",
    "      - id: status",
    "        uses: infrahouse/percona-actions@v1",
    "        with:",
    `          cluster-id: ${clusterId}`,
    "",
  ].join("\n");

/**
 * Runs a workflow through act on this machine, without containers.
 *
 * @throws when it passes its deadline. A failed job is a result.
 */
export async function runThroughAct(options: ActOptions): Promise<ActRun> {
  const { act, tree, workflow, env = {}, timeoutMs = 180_000 } = options;
  const work = await mkdtemp(join(tmpdir(), "percona-act-"));
  try {
    const file = join(work, "repository", ".github", "workflows", "workflow.yml");
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, workflow);
    // Credentials may be among them: a file, not arguments.
    const envFile = join(work, "env");
    await writeFile(envFile, Object.entries(env).map(envLine).join(""), { mode: 0o600 });
    const ended = await runProcess(
      [
        act,
        "workflow_dispatch",
        "--workflows",
        file,
        "--platform",
        "ubuntu-latest=-self-hosted",
        "--no-cache-server",
        "--local-repository",
        `infrahouse/percona-actions@v1=${tree}`,
        "--env-file",
        envFile,
        "--json",
      ],
      {
        cwd: join(work, "repository"),
        env: {
          PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ""}`,
          HOME: work,
          XDG_CACHE_HOME: join(work, "cache"),
          XDG_CONFIG_HOME: join(work, "config"),
        },
        timeoutMs,
      },
    );
    return { exitCode: ended.exitCode, ...readEvents(ended.stdout + ended.stderr) };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** In single quotes nothing of a value is expanded. */
const envLine = ([name, value]: readonly [string, string]): string => {
  if (/['\n]/.test(value))
    throw new Error(`${name} has a quote or a line break, which act's file of variables cannot hold.`);
  return `${name}='${value}'\n`;
};

/** One line of `act --json`, as much of it as is used. */
interface ActEvent {
  readonly level?: string;
  readonly msg?: string;
  readonly jobID?: string;
  readonly jobResult?: string;
  readonly stepID?: readonly string[];
  readonly stepResult?: string;
  readonly command?: string;
  readonly name?: string;
  readonly arg?: string;
  readonly content?: string;
  readonly kvPairs?: { readonly title?: string };
  readonly raw_output?: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readEvents(text: string): Omit<ActRun, "exitCode"> {
  const jobs: Record<string, string> = {};
  const steps = new Map<string, Mutable<ActStep>>();
  const said: string[] = [];
  for (const line of text.split("\n")) {
    const event = eventOf(line);
    // The workflow lies in no git repository, which act says before and after each step.
    if (!/git (repository|ref|revision)/.test(line)) said.push((event?.msg ?? line).trimEnd());
    if (event?.jobID === undefined) continue;
    if (event.jobResult !== undefined) jobs[event.jobID] = event.jobResult;
    const id = event.stepID?.join("/");
    if (id === undefined) continue;
    const key = `${event.jobID}/${id}`;
    const step = steps.get(key) ?? {
      job: event.jobID,
      id,
      result: undefined,
      outputs: {},
      summary: "",
      annotations: [],
      log: "",
    };
    steps.set(key, step);
    if (event.stepResult !== undefined) step.result = event.stepResult;
    if (event.raw_output === true) step.log += event.msg ?? "";
    if (event.command === "set-output" && event.name !== undefined) {
      step.outputs = { ...step.outputs, [event.name]: event.arg ?? "" };
    }
    if (event.command === "summary") step.summary += event.content ?? "";
    if (event.command === "error" || event.command === "warning") {
      const annotation = { level: event.command, title: event.kvPairs?.title ?? "", message: event.arg ?? "" };
      step.annotations = [...step.annotations, annotation];
    }
  }
  return { jobs, steps: [...steps.values()], log: said.join("\n") };
}

function eventOf(line: string): ActEvent | undefined {
  try {
    return JSON.parse(line) as ActEvent;
  } catch {
    return undefined;
  }
}
