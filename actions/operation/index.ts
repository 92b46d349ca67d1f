import { tellWatched } from "#actions/lib/operation/post.ts";
import { run } from "#actions/lib/run.ts";
import { main } from "./main.ts";

await run({ title: "Operation", post: tellWatched }, main);
