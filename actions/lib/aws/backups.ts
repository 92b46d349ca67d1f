import { GetObjectCommand, paginateListObjectsV2 } from "@aws-sdk/client-s3";
import * as v from "valibot";
import { BackupManifest } from "#contract/backup-manifest.ts";
import { type BackupKind, parseKeyTime, s3Keys } from "#contract/s3-layout.ts";
import { call, errorName } from "./call.ts";
import type { AwsClients } from "./clients.ts";

/** The newest complete backup of a cluster, and what stood in the way of a newer one. */
export interface NewestBackup {
  readonly manifest?: BackupManifest;
  /** Keys of newer manifests that cannot be read, and what is missing, each a sentence. */
  readonly unreadable: readonly string[];
}

/** How many backups without a usable manifest are looked past. */
const lookPast = 20;

/**
 * The newest backup, full or incremental, of data that descend from `formation`. A backup exists when its manifest does, so
 * unfinished ones are passed over.
 *
 * @throws Failure `permission-denied`, `store-unavailable`.
 */
export async function newestBackup(
  { s3 }: Pick<AwsClients, "s3">,
  where: { readonly bucket: string; readonly clusterId: string; readonly formation: number | undefined },
  signal: AbortSignal,
): Promise<NewestBackup> {
  const { bucket, clusterId, formation } = where;
  const lists = await Promise.all((["full", "incremental"] as const).map((kind) => times(kind)));
  if (lists.includes(undefined)) return { unreadable: [`The bucket ${bucket} does not exist.`] };
  const newestFirst = lists.flatMap((list) => list ?? []).sort((a, b) => (a.time < b.time ? 1 : -1));
  const unreadable: string[] = [];
  for (const { kind, time } of newestFirst.slice(0, lookPast)) {
    const manifest = await read(s3Keys.manifest(clusterId, kind, time));
    if (typeof manifest === "string") unreadable.push(manifest);
    else if (manifest !== undefined && (formation === undefined || manifest.formation === formation)) {
      return { manifest, unreadable };
    }
  }
  return { unreadable };

  async function times(kind: BackupKind): Promise<{ kind: BackupKind; time: string }[] | undefined> {
    const prefix = s3Keys.backups(clusterId, kind);
    return call({ action: "s3:ListBucket", on: `${bucket}, ${prefix}`, signal }, async () => {
      const found: { kind: BackupKind; time: string }[] = [];
      const request = { Bucket: bucket, Prefix: prefix, Delimiter: "/" };
      try {
        for await (const page of paginateListObjectsV2({ client: s3 }, request, { abortSignal: signal })) {
          for (const { Prefix } of page.CommonPrefixes ?? []) {
            const time = Prefix?.slice(prefix.length, -1) ?? "";
            if (parseKeyTime(time)) found.push({ kind, time });
          }
        }
      } catch (error) {
        if (errorName(error) === "NoSuchBucket") return undefined;
        throw error;
      }
      return found;
    });
  }

  /** A manifest, undefined when there is none, or why it cannot be used. */
  async function read(key: string): Promise<BackupManifest | string | undefined> {
    return call({ action: "s3:GetObject", on: `${bucket}/${key}`, signal }, async () => {
      try {
        const answer = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal: signal });
        const result = v.safeParse(BackupManifest, parsedJson((await answer.Body?.transformToString()) ?? ""));
        if (result.success) return result.output;
        return `The manifest ${key} is not what this version expects: ${result.issues[0].message}.`;
      } catch (error) {
        if (errorName(error) === "NoSuchKey") return undefined;
        throw error;
      }
    });
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
