import { join } from "node:path";
import type { Entry, EntryTools, Recipe } from "./entry.ts";
import { inPhase } from "./progress.ts";

/** act, which runs workflows here as GitHub would; or what to do to get it. */
export type ActInstall =
  | { readonly available: true; readonly version: string; readonly act: string }
  | { readonly available: false; readonly how: string };

const version = "0.2.89";

/** The entry's key. */
export const actKey = `act-${version}-${process.arch}-1`;

/** The entry's recipe: built from its source by the Go that is installed, which checks the source against Go's checksum database. */
export function actRecipe(tools: EntryTools): Recipe {
  return {
    name: "act",
    key: actKey,
    build: async (directory) => {
      await inPhase(tools.report, "act", `compilation of act ${version}`, () =>
        tools.run(["go", "install", `github.com/nektos/act@v${version}`], { env: { GOBIN: directory } }),
      );
      const { stdout } = await tools.run([join(directory, "act"), "--version"]);
      if (!stdout.includes(version))
        throw new Error(`act --version says "${stdout.trim()}", and ${version} was built.`);
      return { version, witnesses: ["act"] };
    },
  };
}

/** Where it lies in a complete entry. */
export function actInstall({ directory }: Entry): ActInstall {
  return { available: true, version, act: join(directory, "act") };
}
