import { run } from "#actions/lib/run.ts";
import { main } from "./main.ts";

await run({ title: "Status", readOnly: true }, main);
