import { spawn } from "node:child_process";

/** Every static check, all of them also when one fails: types, format and lint, arrows, unused code. */

const checks: readonly [string, readonly string[]][] = [
  ["types", ["node_modules/typescript/bin/tsc", "-p", "."]],
  [
    "format, lint and floating promises",
    ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."],
  ],
  [
    "arrows",
    [
      "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs",
      "--config",
      ".dependency-cruiser.mjs",
      "actions",
      "node-bin",
      "test",
    ],
  ],
  ["unused code and dependencies", ["node_modules/knip/bin/knip.js"]],
];

let failed = 0;
for (const [name, argv] of checks) {
  const began = performance.now();
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "inherit", "inherit"] });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code !== 0) failed += 1;
  process.stdout.write(
    `${code === 0 ? "ok" : "FAILED"}  ${name}, ${((performance.now() - began) / 1000).toFixed(1)} s\n`,
  );
}
process.exitCode = failed === 0 ? 0 : 1;
