import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { AccessKeys, ClusterResources } from "./cloud/index.ts";

/** Where a lab keeps what it has on disk. */
export interface LabPaths {
  readonly directory: string;
  /** How to reach the running lab; it holds secrets and has mode 0600. */
  readonly description: string;
  readonly daemonLog: string;
  readonly machines: string;
  readonly cloud: string;
  /** What a lab with `--keep` stores when it goes, besides the machines. */
  readonly kept: string;
}

/** Everything that another process needs to use a running lab. */
export interface LabDescription {
  readonly number: number;
  /** Marks the lab's processes; new for each start. */
  readonly run: string;
  readonly pid: number;
  /** First two bytes of its addresses. */
  readonly network: string;
  readonly startedAt: string;
  /** Whether its state stays when it ends. */
  readonly keep: boolean;
  /** Started by the command line for a person; a program's own lab is found by its number only. */
  readonly forPerson: boolean;
  readonly control: { readonly url: string; readonly secret: string };
  readonly endpoint: string;
  readonly region: string;
  readonly operator: AccessKeys;
  /** Variables that point a program at the lab's AWS with the operator's keys. */
  readonly operatorEnvironment: Readonly<Record<string, string>>;
  readonly cluster: ClusterResources;
  readonly programs: { readonly mysql: string };
  /** Who notices that a primary is dead. */
  readonly engine: "agent" | "orchestrator";
  readonly paths: LabPaths;
}

/** The folder of all labs: `$PERCONA_ACTIONS_STATE`, else `percona-actions` in `$XDG_STATE_HOME`, else in `~/.local/state`. */
export function stateRoot(env: NodeJS.ProcessEnv = process.env, home: string = homedir()): string {
  return resolve(
    env.PERCONA_ACTIONS_STATE || join(env.XDG_STATE_HOME || join(home, ".local", "state"), "percona-actions"),
  );
}

export function labPaths(number: number, root: string = stateRoot()): LabPaths {
  const directory = join(root, `lab-${number}`);
  return {
    directory,
    description: join(directory, "lab.json"),
    daemonLog: join(directory, "daemon.log"),
    machines: join(directory, "machines"),
    cloud: join(directory, "cloud"),
    kept: join(directory, "kept"),
  };
}

export async function writeDescription(description: LabDescription): Promise<void> {
  const { description: file } = description.paths;
  // A file that is there keeps its mode.
  await rm(file, { force: true });
  await writeFile(file, JSON.stringify(description, null, 2), { mode: 0o600 });
}

/** The labs whose descriptions are there, by number; a lab that died without a farewell may be among them. */
export async function readDescriptions(root: string = stateRoot()): Promise<LabDescription[]> {
  const names = await readdir(root).catch(() => []);
  const numbers = names.flatMap((name) => {
    const found = /^lab-(\d+)$/.exec(name);
    return found === null ? [] : [Number(found[1])];
  });
  const texts = await Promise.all(
    numbers
      .sort((one, other) => one - other)
      .map((number) => readFile(labPaths(number, root).description, "utf8").catch(() => undefined)),
  );
  return texts.flatMap((text) => (text === undefined ? [] : [JSON.parse(text) as LabDescription]));
}
