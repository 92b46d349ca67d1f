import { parseArgs } from "node:util";
import { messageOf } from "#contract/failure-reasons.ts";
import { type EntryName, ensureEntries, labEntries, reportLines } from "./index.ts";
import { cacheRoot } from "./paths.ts";

/** `main.ts [--with nftables] [--with act]`: fills the cache and prints what is in it. Progress goes to stderr. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { with: { type: "string", multiple: true, default: [] } } });
  const lazy: readonly EntryName[] = ["nftables", "act"];
  const asked = lazy.filter((name) => values.with.includes(name));
  const unknown = values.with.filter((name) => !lazy.some((known) => known === name));
  if (unknown.length > 0)
    throw new Error(`--with takes ${lazy.join(" or ")}, not ${unknown.join(", ")}. Nothing was done.`);
  const root = cacheRoot();
  const names = [...labEntries, ...asked];
  const began = performance.now();
  const entries = await ensureEntries(
    names,
    reportLines((line) => process.stderr.write(line)),
    root,
  );
  const elapsed = performance.now() - began;
  const row = (cells: readonly string[]): string => {
    const [name = "", version = "", size = "", time = "", folder = ""] = cells;
    return `${name.padEnd(10)} ${version.padEnd(12)} ${size.padStart(7)} ${time.padStart(10)}  ${folder}\n`;
  };
  process.stdout.write(row(["entry", "version", "MB", "built in", "folder"]));
  for (const [index, entry] of entries.entries()) {
    process.stdout.write(
      row([
        names[index] ?? "",
        entry.version,
        String(entry.megabytes),
        `${entry.seconds.toFixed(1)} s`,
        entry.directory,
      ]),
    );
  }
  process.stdout.write(
    `ready after ${elapsed < 1000 ? `${elapsed.toFixed(0)} ms` : `${(elapsed / 1000).toFixed(1)} s`}\n`,
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
