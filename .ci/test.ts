import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

/**
 * Runs the test layers one after another and prints one closing line for all of them. A layer that ran no test fails, and a
 * test that was skipped is named. `--full` adds the long files (`*.long.test.ts`) and all situations of the layer `registration`;
 * positional arguments choose layers.
 */

const layers = ["unit", "release", "cluster", "registration"] as const;

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

interface LayerResult {
  readonly layer: string;
  readonly seconds: number;
  readonly report: Report | undefined;
}

const runLayer = async (layer: string, folder: string, full: boolean): Promise<LayerResult> => {
  const file = join(folder, `${layer}.json`);
  const began = performance.now();
  const vitest = spawn(
    process.execPath,
    [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--project",
      layer,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
    ],
    { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, PERCONA_TEST_FULL: full ? "1" : "" } },
  );
  await new Promise((resolve) => vitest.once("close", resolve));
  const text = await readFile(file, "utf8").catch(() => undefined);
  return {
    layer,
    seconds: (performance.now() - began) / 1000,
    report: text === undefined ? undefined : (JSON.parse(text) as Report),
  };
};

const { values, positionals } = parseArgs({
  options: { full: { type: "boolean", default: false } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !layers.some((layer) => layer === name));
if (unknown.length > 0) {
  process.stderr.write(`Unknown layer: ${unknown.join(", ")}. There are: ${layers.join(", ")}.\n`);
  process.exit(2);
}
const chosen = positionals.length > 0 ? positionals : layers;
const folder = await mkdtemp(join(tmpdir(), "percona-actions-tests-"));
const results: LayerResult[] = [];
try {
  for (const layer of chosen) results.push(await runLayer(layer, folder, values.full));
} finally {
  await rm(folder, { recursive: true, force: true });
}

let [passed, failed, skipped] = [0, 0, 0];
process.stdout.write("\n");
for (const { layer, seconds, report } of results) {
  const ran = (report?.numPassedTests ?? 0) + (report?.numFailedTests ?? 0);
  passed += report?.numPassedTests ?? 0;
  failed += report?.numFailedTests ?? 0;
  skipped += report?.numPendingTests ?? 0;
  process.stdout.write(`${layer}: ${ran} tests in ${seconds.toFixed(1)} s\n`);
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) {
      if (test.status === "pending" || test.status === "skipped") process.stdout.write(`  SKIPPED: ${test.fullName}\n`);
    }
  }
  if (ran === 0) {
    failed += 1;
    process.stdout.write(`  ${layer} RAN NO TEST\n`);
  } else if (report?.success !== true && report?.numFailedTests === 0) {
    // A file that could not be loaded, or an error outside of any test.
    failed += 1;
    process.stdout.write(`  ${layer} ended with an error outside of its tests\n`);
  }
}
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed === 0 ? 0 : 1;
