import { constants } from "node:fs";
import { access, mkdir, statfs } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { oldestPython } from "./python.ts";
import type { Run } from "./run.ts";

/** Something this machine lacks. */
export interface Missing {
  readonly what: string;
  /** What needs it. */
  readonly neededFor: string;
  /** What to do, one sentence or command. */
  readonly get: string;
}

/** An entry that can be built. */
export type EntryName = "mysql" | "moto" | "ministack" | "haproxy" | "nftables" | "act";

interface Tool {
  readonly program: string;
  readonly debianPackage: string;
  readonly neededBy: readonly EntryName[];
}

const everyEntry: readonly EntryName[] = ["mysql", "moto", "ministack", "haproxy", "nftables", "act"];
const fromDebian: readonly EntryName[] = ["mysql", "haproxy", "nftables"];
const withPython: readonly EntryName[] = ["moto", "ministack"];

const tools: readonly Tool[] = [
  { program: "flock", debianPackage: "util-linux", neededBy: everyEntry },
  { program: "setpriv", debianPackage: "util-linux", neededBy: everyEntry },
  { program: "du", debianPackage: "coreutils", neededBy: everyEntry },
  { program: "apt-get", debianPackage: "apt", neededBy: fromDebian },
  { program: "apt-config", debianPackage: "apt", neededBy: fromDebian },
  { program: "dpkg", debianPackage: "dpkg", neededBy: fromDebian },
  { program: "tar", debianPackage: "tar", neededBy: fromDebian },
  { program: "go", debianPackage: "golang-go, of Debian 13 or newer", neededBy: ["act"] },
];

/** What the entries need on disk while they are built, 10^6 bytes. */
const room: Readonly<Record<EntryName, number>> = {
  mysql: 550,
  moto: 450,
  ministack: 150,
  haproxy: 200,
  nftables: 150,
  act: 1500,
};

/** What the checks look at; the process's own by default. */
export interface Surroundings {
  hasProgram(name: string): Promise<boolean>;
  /** Version of python3 and whether it can make environments; undefined when there is none. */
  python(): Promise<{ version: readonly [number, number]; makesEnvironments: boolean } | undefined>;
  /** Free space in the cache folder, 10^6 bytes. */
  freeMegabytes(): Promise<number>;
}

/** Everything that is missing to build these entries, at once. Empty when they can be built. */
export async function missingFor(entries: readonly EntryName[], around: Surroundings): Promise<Missing[]> {
  if (entries.length === 0) return [];
  const needing = (neededBy: readonly EntryName[]): EntryName[] => entries.filter((entry) => neededBy.includes(entry));
  const programs = await Promise.all(
    tools.map(async ({ program, debianPackage, neededBy }): Promise<Missing[]> => {
      const users = needing(neededBy);
      if (users.length === 0 || (await around.hasProgram(program))) return [];
      const onDebianOnly = program.startsWith("apt-") || program === "dpkg";
      return [
        {
          what: program,
          neededFor: users.join(", "),
          get: onDebianOnly
            ? "use Debian, or a container of it: MySQL is unpacked from Debian's packages"
            : `apt-get install ${debianPackage}`,
        },
      ];
    }),
  );
  const [python, space] = await Promise.all([
    pythonMissing(needing(withPython), around),
    spaceMissing(entries, around),
  ]);
  return [...programs.flat(), ...python, ...space];
}

async function pythonMissing(users: readonly EntryName[], around: Surroundings): Promise<Missing[]> {
  if (users.length === 0) return [];
  const neededFor = users.join(", ");
  const wanted = oldestPython.join(".");
  const found = await around.python();
  if (found === undefined) {
    return [{ what: `python3, ${wanted} or newer, with venv`, neededFor, get: "apt-get install python3 python3-venv" }];
  }
  const [major, minor] = found.version;
  const missing: Missing[] = [];
  if (major !== oldestPython[0] || minor < oldestPython[1]) {
    const get = `put a newer python3 first on PATH (this one is ${found.version.join(".")})`;
    missing.push({ what: `python3, ${wanted} or newer`, neededFor, get });
  }
  if (!found.makesEnvironments) {
    missing.push({ what: "the venv module of python3", neededFor, get: "apt-get install python3-venv" });
  }
  return missing;
}

async function spaceMissing(entries: readonly EntryName[], around: Surroundings): Promise<Missing[]> {
  const needed = entries.reduce((sum, entry) => sum + room[entry], 0);
  const free = await around.freeMegabytes();
  if (free >= needed) return [];
  return [
    {
      what: `${needed} MB of free space in the cache folder (${Math.floor(free)} MB are free)`,
      neededFor: entries.join(", "),
      get: "free some, or set PERCONA_ACTIONS_CACHE to a folder on another disk",
    },
  ];
}

/** The text of the error that names everything that is missing. */
export function missingText(missing: readonly Missing[]): string {
  const lines = missing.map(({ what, neededFor, get }) => `  - ${what} (for ${neededFor}): ${get}`);
  return `${missing.length === 1 ? "One thing is" : `${missing.length} things are`} missing on this machine; nothing was changed:\n${lines.join("\n")}\nThen run it again.`;
}

/** What this machine has. */
export function realSurroundings(root: string, env: NodeJS.ProcessEnv, run: Run): Surroundings {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const hasProgram = async (name: string): Promise<boolean> => {
    const found = await Promise.all(
      folders.map((folder) =>
        access(join(folder, name), constants.X_OK).then(
          () => true,
          () => false,
        ),
      ),
    );
    return found.includes(true);
  };
  return {
    hasProgram,
    python: async () => {
      if (!(await hasProgram("python3")) || !(await hasProgram("setpriv"))) return undefined;
      const program =
        "import sys, importlib.util as u; print(*sys.version_info[:2], int(all(u.find_spec(m) for m in ('venv', 'ensurepip'))))";
      const { stdout } = await run(["python3", "-c", program]);
      const [major = 0, minor = 0, makes = 0] = stdout.trim().split(" ").map(Number);
      return { version: [major, minor], makesEnvironments: makes === 1 };
    },
    freeMegabytes: async () => {
      await mkdir(root, { recursive: true });
      const { bavail, bsize } = await statfs(root);
      return (bavail * bsize) / 1e6;
    },
  };
}
