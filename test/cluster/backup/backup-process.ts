/** A backup in a process of its own, to be killed: it says `half way` and waits there. Arguments: endpoint, bucket, cluster id, folder. */
import { Readable } from "node:stream";
import { makeBucket } from "#node/lib/aws/s3.ts";
import { takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { folderEngine } from "./folder-engine.ts";
import { s3At } from "./s3-fixture.ts";

const [endpoint = "", bucket = "", clusterId = "", folder = ""] = process.argv.slice(2);
const mib = 1024 * 1024;
const engine = folderEngine(folder);

async function* halfWay(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of source) {
    seen += chunk.byteLength;
    yield chunk;
    // One object is complete and the second is begun.
    if (seen > 13 * mib) {
      console.log("half way");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    }
  }
}

await takeFullBackup({
  bucket: makeBucket(s3At(endpoint), bucket),
  engine: {
    ...engine,
    copy: async (options) => {
      const copy = await engine.copy(options);
      return { ...copy, stream: Readable.from(halfWay(copy.stream), { objectMode: false }) };
    },
  },
  clusterId,
  instanceId: "i-0123456789abcdef0",
  timeline: 1,
  formation: 1,
  assertStillHolding: async () => {},
  progress: console.log,
  signal: AbortSignal.timeout(120_000),
  sizes: { object: 6 * mib, part: 5 * mib },
});
