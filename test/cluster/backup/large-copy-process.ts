/**
 * Backs a folder up, or restores it, in a process of its own, and prints the largest memory that it ever had. Arguments: `backup` or
 * `restore`, folder, file of the manifest. The endpoint and the credentials come as they do in production.
 */
import { readFile, writeFile } from "node:fs/promises";
import * as v from "valibot";
import { BackupManifest } from "#contract/backup-manifest.ts";
import { makeAws } from "#node/lib/aws/clients.ts";
import { makeBucket } from "#node/lib/aws/s3.ts";
import { restoreFull } from "#node/lib/backup/restore.ts";
import { takeFullBackup } from "#node/lib/backup/take-full-backup.ts";
import { folderEngine } from "./folder-engine.ts";

const [what, folder = "", manifestFile = ""] = process.argv.slice(2);
const bucket = makeBucket(makeAws({ region: "eu-central-1" }), "bucket");
const signal = AbortSignal.timeout(600_000);
const began = performance.now();
let bytes: number;
if (what === "backup") {
  const manifest = await takeFullBackup({
    bucket,
    engine: folderEngine(folder),
    clusterId: "demo",
    instanceId: "i-0123456789abcdef0",
    timeline: 1,
    formation: 1,
    assertStillHolding: async () => {},
    progress: (line) => console.error(line),
    signal,
  });
  await writeFile(manifestFile, JSON.stringify(manifest));
  bytes = manifest.data_bytes;
} else {
  const manifest = v.parse(BackupManifest, JSON.parse(await readFile(manifestFile, "utf8")));
  await restoreFull({ bucket, manifest, intoDir: folder, signal, progress: (line) => console.error(line) });
  bytes = manifest.data_bytes;
}
const seconds = (performance.now() - began) / 1000;
const peak = /VmHWM:\s*(\d+) kB/.exec(await readFile("/proc/self/status", "utf8"))?.[1];
console.log(JSON.stringify({ bytes, seconds, peakBytes: Number(peak) * 1024 }));
