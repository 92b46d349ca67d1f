import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A program in an unpacked prefix that gets a wrapper `bin/<name>`. */
export interface Program {
  readonly name: string;
  /** Where it lies, relative to the prefix. */
  readonly path: string;
  /** Options put before the caller's; `$prefix` stands for the prefix. */
  readonly options: readonly string[];
}

/** The loader and the library folders of an unpacked prefix, relative to it. */
export interface Loader {
  readonly loader: string;
  readonly libraries: readonly string[];
}

/**
 * Finds the prefix's own loader, whatever the machine's architecture. Packages before Debian 13 have libraries in `lib` too.
 *
 * @throws when there is none.
 */
export async function findLoader(prefix: string): Promise<Loader> {
  const libraries: string[] = [];
  let loader: string | undefined;
  for (const lib of ["lib", "usr/lib"]) {
    const folders = await readdir(join(prefix, lib)).catch(() => []);
    for (const folder of folders.filter((name) => name.endsWith("-linux-gnu"))) {
      libraries.push(join(lib, folder));
      const found = (await readdir(join(prefix, lib, folder))).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
      if (found !== undefined) loader = join(lib, folder, found);
    }
  }
  if (loader !== undefined) return { loader, libraries };
  throw new Error(
    `No ld-linux-*.so was found below lib/*-linux-gnu or usr/lib/*-linux-gnu of ${prefix} after unpacking.`,
  );
}

/** The arguments that run a program of `prefix` with its own loader and libraries; more of the loader's or the program follow. */
export function loaderCommand(prefix: string, { loader, libraries }: Loader): string[] {
  return [`${prefix}/${loader}`, "--library-path", libraries.map((folder) => `${prefix}/${folder}`).join(":")];
}

/**
 * The text of a wrapper: it finds the prefix by its own place, and runs the program with the prefix's loader and libraries, so
 * that nothing of the system's C library matters. `exec` keeps the process id: it is the program's own.
 *
 * MySQL's programs want `--defaults-file` and its kin first, so a first argument of that kind stays before the program's options.
 */
export function wrapperText(program: Program, loader: Loader): string {
  const quoted = (words: readonly string[]): string => words.map((word) => `"${word}"`).join(" ");
  const options =
    program.options.length === 0
      ? ""
      : `case "\${1-}" in
--defaults-file=* | --defaults-extra-file=* | --defaults-group-suffix=* | --login-path=* | --no-defaults | --print-defaults)
  first=$1
  shift
  set -- "$first" ${quoted(program.options)} "$@"
  ;;
*)
  set -- ${quoted(program.options)} "$@"
  ;;
esac
`;
  const command = loaderCommand("$prefix", loader);
  return `#!/bin/sh
self=$(readlink -f "$0")
prefix=\${self%/bin/*}
${options}exec ${quoted(command)} --argv0 ${program.name} "$prefix/${program.path}" "$@"
`;
}

/** Writes the wrappers of `programs` into `prefix/bin`. Returns their paths relative to the prefix. */
export async function writeWrappers(prefix: string, programs: readonly Program[], loader: Loader): Promise<string[]> {
  await mkdir(join(prefix, "bin"), { recursive: true });
  return Promise.all(
    programs.map(async (program) => {
      const path = join("bin", program.name);
      await writeFile(join(prefix, path), wrapperText(program, loader));
      await chmod(join(prefix, path), 0o755);
      return path;
    }),
  );
}

/** All libraries of a prefix, relative to it. */
export async function libraryFiles(prefix: string, { libraries }: Loader): Promise<string[]> {
  const files = libraries.map(async (folder) => {
    const entries = await readdir(join(prefix, folder), { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(folder, entry.name));
  });
  return (await Promise.all(files)).flat();
}
