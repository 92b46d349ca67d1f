import { join } from "node:path";
import { type Entry, type EntryTools, findEntry, listKeys, type Recipe } from "./entry.ts";
import { inPhase } from "./progress.ts";

/** A server that runs in a Python environment of its own. */
export interface PythonServer {
  readonly version: string;
  /** The first arguments of the process; the caller adds the server's options. */
  readonly command: readonly string[];
}

/** One pinned package with its dependencies. */
export interface PythonPackage {
  readonly name: string;
  readonly version: string;
  /** Extras to install with it. */
  readonly extras: readonly string[];
  /** The module that is the server, for `python -m`. */
  readonly module: string;
}

/** The AWS control plane. */
export const moto: PythonPackage = { name: "moto", version: "5.2.5", extras: ["server"], module: "moto.server" };

/** The AWS data plane. A beta, so the pin matters. */
export const ministack: PythonPackage = { name: "ministack", version: "1.5.33", extras: [], module: "ministack" };

/** The oldest Python that both packages take. */
export const oldestPython = [3, 10] as const;

const keyPrefix = ({ name, version }: PythonPackage): string => `${name}-${version}-py`;
const keySuffix = "-2";

/** A complete entry of this package, made with whichever Python: the environment holds on to its own interpreter. */
export async function findPythonEntry(root: string, wanted: PythonPackage): Promise<Entry | undefined> {
  for (const key of await listKeys(root, keyPrefix(wanted))) {
    if (!key.endsWith(keySuffix)) continue;
    const entry = await findEntry(root, key);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** The entry's recipe, for the Python that is installed now. */
export async function pythonRecipe(wanted: PythonPackage, tools: EntryTools): Promise<Recipe> {
  const { name, version, extras, module } = wanted;
  const { stdout } = await tools.run(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
  const python = stdout.trim();
  return {
    name,
    key: `${keyPrefix(wanted)}${python}-${process.arch}${keySuffix}`,
    build: async (directory) => {
      const interpreter = join(directory, "bin", "python");
      await inPhase(tools.report, name, `environment of Python ${python}`, () =>
        tools.run(["python3", "-m", "venv", directory]),
      );
      const requirement = `${name}${extras.length === 0 ? "" : `[${extras.join(",")}]`}==${version}`;
      await inPhase(tools.report, name, `installation of ${requirement}`, () =>
        tools.run([
          interpreter,
          "-m",
          "pip",
          "install",
          "--quiet",
          "--no-input",
          // Compiling everything takes as long as the rest, and most of it is never imported.
          "--no-compile",
          "--disable-pip-version-check",
          requirement,
        ]),
      );
      await inPhase(tools.report, name, "trial import", async () => {
        const program = `import importlib, importlib.metadata as m; importlib.import_module('${module}'); print(m.version('${name}'))`;
        const seen = (await tools.run([interpreter, "-I", "-c", program])).stdout.trim().split("\n").at(-1);
        if (seen !== version) throw new Error(`${name} ${version} was asked for and ${seen} can be imported.`);
      });
      const packageFolder = join("lib", `python${python}`, "site-packages");
      return {
        version,
        witnesses: [
          "bin/python",
          "pyvenv.cfg",
          join(packageFolder, name, "__init__.py"),
          join(packageFolder, `${name}-${version}.dist-info`, "RECORD"),
        ],
      };
    },
  };
}

/** How to start the server of a complete entry. `-I` keeps the user's own Python settings and the current folder out, `-u` its log unbuffered. */
export function pythonServer({ directory, version }: Entry, { module }: PythonPackage): PythonServer {
  return { version, command: [join(directory, "bin", "python"), "-I", "-u", "-m", module] };
}
