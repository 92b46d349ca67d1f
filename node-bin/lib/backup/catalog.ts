import * as v from "valibot";
import { AbandonedBackup, BackupManifest } from "#contract/backup-manifest.ts";
import { type BackupKind, manifestTime, s3Keys } from "#contract/s3-layout.ts";
import { Timeline } from "#contract/timeline.ts";
import type { Bucket } from "../aws/s3.ts";

/** What the bucket knows about a cluster's backups. Errors of all methods: those of the bucket. */
export interface Catalog {
  /** Complete backups of one kind, the newest first; each manifest is read when it is asked for. */
  manifests(kind: BackupKind): AsyncIterable<BackupManifest>;
  /** The newest complete full backup; with a `formation`, the newest of that one: those of abandoned formations are ignored. */
  newestFull(which?: { readonly formation?: number | undefined }): Promise<BackupManifest | undefined>;
  /**
   * Whether the cluster id has any backup or archive. With the formation of the topology record, what abandoned formations left
   * does not count; without a record everything does, also what cannot be read.
   */
  clusterHasData(which?: { readonly formation?: number | undefined }): Promise<boolean>;
}

/** The catalog of one cluster. `malformed` gets a sentence for each object that is not what its place says; it is skipped. */
export const makeCatalog = (bucket: Bucket, clusterId: string, malformed: (sentence: string) => void): Catalog => {
  /** The manifest; undefined when there is none in that place, `malformed` when there is something else. */
  const read = async (kind: BackupKind, key: string): Promise<BackupManifest | "malformed" | undefined> => {
    const json = await jsonAt(bucket, key);
    if (json === undefined || v.is(AbandonedBackup, json)) return undefined;
    const wrong = (why: string): "malformed" => {
      malformed(`${key} in bucket ${bucket.name} is not a manifest of this project: ${why}. It was ignored.`);
      return "malformed";
    };
    if (json === notJson) return wrong("it is not JSON");
    const parsed = v.safeParse(BackupManifest, json);
    if (!parsed.success) {
      const issues = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "(whole)"}: ${issue.message}`);
      return wrong(issues.join("; "));
    }
    const { output } = parsed;
    const expected = s3Keys.manifest(clusterId, kind, output.time);
    return output.cluster_id === clusterId && output.kind === kind && expected === key
      ? output
      : wrong(`it describes the ${output.kind} backup ${output.time} of cluster ${output.cluster_id}`);
  };

  async function* newestFirst(kind: BackupKind): AsyncGenerator<BackupManifest | "malformed"> {
    const keys: string[] = [];
    for await (const { key } of bucket.list(s3Keys.backups(clusterId, kind))) {
      if (manifestTime(clusterId, kind, key)) keys.push(key);
    }
    // A listing is in the order of the keys, and so of the times in them.
    for (const key of keys.reverse()) {
      const manifest = await read(kind, key);
      if (manifest !== undefined) yield manifest;
    }
  }

  async function* manifests(kind: BackupKind): AsyncGenerator<BackupManifest> {
    for await (const found of newestFirst(kind)) if (found !== "malformed") yield found;
  }

  /** An archive belongs to an abandoned formation when its timeline began under a lower fence than the formation. */
  const isAbandoned = async (timeline: string, formation: number): Promise<boolean> => {
    const found = v.safeParse(Timeline, await jsonAt(bucket, s3Keys.timeline(clusterId, Number(timeline))));
    return found.success && found.output.fence < formation;
  };

  const hasArchive = async (formation: number | undefined): Promise<boolean> => {
    const prefix = s3Keys.binlogs(clusterId);
    const abandoned = new Set<string>();
    for await (const { key } of bucket.list(prefix)) {
      const timeline = key.slice(prefix.length).split("/")[0] ?? "";
      if (formation === undefined) return true;
      if (abandoned.has(timeline)) continue;
      if (!(await isAbandoned(timeline, formation))) return true;
      abandoned.add(timeline);
    }
    return false;
  };

  return {
    manifests,
    newestFull: async ({ formation } = {}) => {
      for await (const manifest of manifests("full")) {
        if (formation === undefined || manifest.formation === formation) return manifest;
      }
      return undefined;
    },
    clusterHasData: async ({ formation } = {}) => {
      for (const kind of ["full", "incremental"] as const) {
        for await (const found of newestFirst(kind)) {
          if (found === "malformed" || formation === undefined || found.formation === formation) return true;
        }
      }
      return hasArchive(formation);
    },
  };
};

const notJson = Symbol("not JSON");

const jsonAt = (bucket: Bucket, key: string): Promise<unknown> =>
  bucket.getJson(key).catch((error: unknown) => {
    if (error instanceof SyntaxError) return notJson;
    throw error;
  });
