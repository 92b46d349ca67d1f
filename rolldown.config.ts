import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RolldownOptions } from "rolldown";

/** The checkout that this file lies in. */
export const repositoryRoot = dirname(fileURLToPath(import.meta.url));

/** The folder of each part's compiled code, relative to the checkout. */
export const outputFolder = { node: "node-bin/dist", actions: "actions/dist" } as const;

/** Those of the scripts that no node runs: each is a function of Lambda, which exports its handler and needs no launcher. */
export const lambdaFunctions: readonly string[] = ["raft-lifecycle"];

/** Names of the scripts of a node: every `node-bin/*.ts` is one. */
export function nodeScripts(root: string): string[] {
  return readdirSync(join(root, "node-bin"), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => entry.name.slice(0, -".ts".length))
    .sort();
}

/** Names of the actions: every `actions/<name>/index.ts` is one. */
export function actionNames(root: string): string[] {
  return readdirSync(join(root, "actions"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && readdirSync(join(root, "actions", entry.name)).includes("index.ts"))
    .map((entry) => entry.name)
    .sort();
}

/**
 * What a script's V8 is told. The agent runs all the time beside a database that wants the memory: its garbage is collected in small
 * portions.
 */
export const nodeFlags: Readonly<Record<string, readonly string[]>> = { agent: ["--max-semi-space-size=1"] };

const common = (root: string): RolldownOptions => ({
  cwd: root,
  platform: "node",
  // The ES modules of a package can be shaken; rolldown's default for Node prefers CommonJS, which cannot. Links stay as they
  // are, so that a checkout with a linked node_modules gives the same bytes.
  resolve: { mainFields: ["module", "main"], symlinks: false },
  tsconfig: false,
});

const output = { format: "esm", entryFileNames: "[name].mjs", minify: false, sourcemap: false } as const;

/** One script of a node as one file: a node gets an archive of files that need nothing beside them. */
export const nodeScriptOptions = (root: string, name: string): RolldownOptions => ({
  ...common(root),
  input: { [name]: `./node-bin/${name}.ts` },
  output: { ...output, dir: join(root, outputFolder.node), codeSplitting: false, charset: "ascii" },
});

/** All actions together: small entries, and chunks for what they share and for what is loaded on demand. */
export const actionOptions = (root: string): RolldownOptions => ({
  ...common(root),
  input: Object.fromEntries(actionNames(root).map((name) => [name, `./actions/${name}/index.ts`])),
  output: {
    ...output,
    dir: join(root, outputFolder.actions),
    chunkFileNames: "chunk-[name]-[hash].mjs",
    codeSplitting: {
      groups: [
        // Only what is loaded at once: what packages import on demand stays in chunks of its own.
        { name: "packages", test: /[\\/]node_modules[\\/]/, tags: ["$initial"] },
      ],
    },
  },
});

/** For rolldown's own command line; `npm run build` goes through `.ci/build.ts`, which builds only what changed. */
export default [
  ...nodeScripts(repositoryRoot).map((name) => nodeScriptOptions(repositoryRoot, name)),
  actionOptions(repositoryRoot),
];
