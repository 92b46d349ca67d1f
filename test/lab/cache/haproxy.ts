import { join } from "node:path";
import { releaseCodename, unpackPackages } from "./debian.ts";
import type { Entry, EntryTools, Recipe } from "./entry.ts";
import { findLoader, libraryFiles, writeWrappers } from "./programs.ts";
import { inPhase } from "./progress.ts";

/** An unpacked HAProxy; the program is a plain executable with its own libraries. */
export interface HaproxyInstall {
  /** For example `2.6.12`. */
  readonly version: string;
  readonly haproxy: string;
}

/** The entry's recipe: the HAProxy of the running Debian release, or of the stable one on another system. */
export async function haproxyRecipe(tools: EntryTools, env: NodeJS.ProcessEnv): Promise<Recipe> {
  const suite = (await releaseCodename()) ?? "stable";
  return {
    name: "haproxy",
    key: `haproxy-${suite}-debian-${process.arch}-1`,
    build: async (directory) => {
      await unpackPackages(
        { entry: "haproxy", suite, packages: ["haproxy"], check: () => {}, directory },
        { run: tools.run, report: tools.report, env },
      );
      const loader = await findLoader(directory);
      const wrappers = await writeWrappers(
        directory,
        [{ name: "haproxy", path: "usr/sbin/haproxy", options: [] }],
        loader,
      );
      const version = await inPhase(tools.report, "haproxy", "trial of the program", async () => {
        const { stdout } = await tools.run([join(directory, "bin/haproxy"), "-v"]);
        const found = /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
        if (found === undefined) throw new Error(`haproxy -v says "${stdout.trim()}", without a version.`);
        return found;
      });
      return {
        version,
        witnesses: [...wrappers, "usr/sbin/haproxy", ...(await libraryFiles(directory, loader))],
      };
    },
  };
}

/** Where things lie in a complete entry. */
export function haproxyInstall({ directory, version }: Entry): HaproxyInstall {
  return { version, haproxy: join(directory, "bin", "haproxy") };
}
