/** Keys of the cluster's bucket. Every object is written once (`If-None-Match: *`); a manifest is written last. */

/** Seconds resolution, no colons: `2026-11-21T00-17-05Z`. */
export const keyTime = (time: Date): string => `${time.toISOString().slice(0, 19).replaceAll(":", "-")}Z`;

/** The reverse of `keyTime`; undefined when the text is not one. */
export const parseKeyTime = (text: string): Date | undefined => {
  const found = /^(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z$/.exec(text);
  if (!found) return undefined;
  const time = new Date(`${found[1]}T${found[2]}:${found[3]}:${found[4]}Z`);
  return Number.isNaN(time.getTime()) ? undefined : time;
};

const manifestName = "manifest.json";
const padded = (n: number, digits: number): string => String(n).padStart(digits, "0");

/** Which kind of physical copy. */
export type BackupKind = "full" | "incremental";

export const s3Keys = {
  /** Everything of one cluster. */
  cluster: (clusterId: string): string => `${clusterId}/`,
  backups: (clusterId: string, kind: BackupKind): string => `${clusterId}/${kind}/`,
  backup: (clusterId: string, kind: BackupKind, time: string): string => `${clusterId}/${kind}/${time}/`,
  manifest: (clusterId: string, kind: BackupKind, time: string): string =>
    `${clusterId}/${kind}/${time}/${manifestName}`,
  /** Data objects of a backup, numbered from 1. */
  backupData: (clusterId: string, kind: BackupKind, time: string, n: number, suffix: string): string =>
    `${clusterId}/${kind}/${time}/data-${padded(n, 6)}.${suffix}`,
  timeline: (clusterId: string, timeline: number): string => `${clusterId}/timelines/${timeline}.json`,
  binlogs: (clusterId: string): string => `${clusterId}/binlogs/`,
  segment: (clusterId: string, timeline: number, sequence: number): string =>
    `${clusterId}/binlogs/${timeline}/${padded(sequence, 12)}`,
  verification: (clusterId: string, time: string): string => `${clusterId}/verifications/${time}.json`,
  operation: (clusterId: string, operationId: string): string => `${clusterId}/operations/${operationId}.json`,
  /** What was saved of one node's own transactions before it was restored from a backup. */
  errantOf: (clusterId: string, instanceId: string): string => `${clusterId}/errant/${instanceId}/`,
  /** The transactions as readable SQL. */
  errantSql: (clusterId: string, instanceId: string, time: string): string =>
    `${clusterId}/errant/${instanceId}/${time}.sql`,
  /** `ErrantRecord`, written after the SQL. */
  errantRecord: (clusterId: string, instanceId: string, time: string): string =>
    `${clusterId}/errant/${instanceId}/${time}.json`,
  artifacts: (clusterId: string, version: string): string => `${clusterId}/artifacts/${version}/`,
} as const;

/** The time part of a manifest's key; undefined when the key is not a manifest of that kind. */
export const manifestTime = (clusterId: string, kind: BackupKind, key: string): string | undefined => {
  const prefix = s3Keys.backups(clusterId, kind);
  if (!key.startsWith(prefix) || !key.endsWith(`/${manifestName}`)) return undefined;
  const time = key.slice(prefix.length, -(manifestName.length + 1));
  return parseKeyTime(time) ? time : undefined;
};
