import { join } from "node:path";
import { releaseCodename, unpackPackages } from "./debian.ts";
import type { EntryTools, Recipe } from "./entry.ts";
import { findLoader, libraryFiles, writeWrappers } from "./programs.ts";
import { inPhase } from "./progress.ts";

/** One program of a Debian release, to be unpacked with its own libraries. */
export interface DebianProgram {
  /** Name of the entry, and of its package. */
  readonly entry: string;
  /** Name of the program; its wrapper is `bin/<program>`. */
  readonly program: string;
  /** Where it lies, relative to the prefix. */
  readonly path: string;
  /** The option that makes it print its version, which is what `version` finds there. */
  readonly versionOption: string;
  readonly version: RegExp;
}

/** The entry's recipe: the program of the running Debian release, or of the stable one on another system. */
export async function debianProgramRecipe(
  { entry, program, path, versionOption, version }: DebianProgram,
  tools: EntryTools,
  env: NodeJS.ProcessEnv,
): Promise<Recipe> {
  const suite = (await releaseCodename()) ?? "stable";
  return {
    name: entry,
    key: `${entry}-${suite}-debian-${process.arch}-1`,
    build: async (directory) => {
      await unpackPackages(
        { entry, suite, packages: [entry], check: () => {}, directory },
        { run: tools.run, report: tools.report, env },
      );
      const loader = await findLoader(directory);
      const wrappers = await writeWrappers(directory, [{ name: program, path, options: [] }], loader);
      const found = await inPhase(tools.report, entry, "trial of the program", async () => {
        const { stdout } = await tools.run([join(directory, "bin", program), versionOption]);
        const said = version.exec(stdout)?.[1];
        if (said === undefined) {
          throw new Error(`${program} ${versionOption} says "${stdout.trim()}", without a version.`);
        }
        return said;
      });
      return { version: found, witnesses: [...wrappers, path, ...(await libraryFiles(directory, loader))] };
    },
  };
}
