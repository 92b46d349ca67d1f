import { atRest } from "./at-rest.ts";
import { type Figure, figuresTable } from "./figures.ts";
import { labStart } from "./lab-start.ts";
import { scriptStart } from "./script-start.ts";
import { writesRefused } from "./writes-refused.ts";

const benchmarks: Record<string, () => Promise<Figure[]>> = {
  "script-start": scriptStart,
  "lab-start": labStart,
  "at-rest": atRest,
  "writes-refused": writesRefused,
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in benchmarks));
if (unknown.length > 0) {
  process.stderr.write(`Unknown benchmark: ${unknown.join(", ")}. There are: ${Object.keys(benchmarks).join(", ")}.\n`);
  process.exit(2);
}
const figures: Figure[] = [];
for (const [name, run] of Object.entries(benchmarks)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  process.stderr.write(`${name} …\n`);
  figures.push(...(await run()));
}
process.stdout.write(`${figuresTable(figures)}\n`);
