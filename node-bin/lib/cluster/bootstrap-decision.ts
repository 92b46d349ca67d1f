import type { BackupManifest } from "#contract/backup-manifest.ts";
import type { FailureReason } from "#contract/failure-reasons.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { DataDirectory } from "./data-directory.ts";

/** Everything that the next step of a bootstrap depends on. */
export interface BootstrapView {
  /** This node's instance id. */
  readonly me: string;
  readonly clusterId: string;
  readonly record: TopologyRecord | undefined;
  /**
   * The primary's lease as this node has observed it on its own clock: `watching` until it has stayed unrenewed, or absent,
   * for a whole lease.
   */
  readonly primaryLease: "live" | "watching" | "stale";
  readonly data: DataDirectory;
  /** Newest full backup of the recorded formation. */
  readonly backup: BackupManifest | undefined;
  /** Whether the cluster id has any backup or archive at all. */
  readonly anyHistory: boolean;
  readonly flags: { readonly initialiseEmpty: boolean; readonly adopt: boolean };
}

/** The next step. After each of them the view is made anew, so that every step can be repeated after a crash. */
export type BootstrapDecision =
  /** Under the election lock: become the first primary, of new or of own data. */
  | { readonly step: "form"; readonly data: "initialise" | "own" | "adopt" }
  /** Under the election lock: replace a first primary that died while forming. */
  | { readonly step: "take-over"; readonly data: "initialise" | "own" }
  /** Not under any lock: make a data directory from the backup. */
  | { readonly step: "restore"; readonly backup: BackupManifest }
  /** Mark a foreign data directory as ours, because the person said so. */
  | { readonly step: "adopt" }
  /** Move the data directory away: it belongs to a formation that was abandoned, or may be forgotten. */
  | { readonly step: "set-aside"; readonly because: string }
  | { readonly step: "join" }
  | { readonly step: "lead" }
  | { readonly step: "wait"; readonly because: string }
  | { readonly step: "refuse"; readonly reason: FailureReason; readonly because: string };

const wait = (because: string): BootstrapDecision => ({ step: "wait", because });
const refuse = (reason: FailureReason, because: string): BootstrapDecision => ({ step: "refuse", reason, because });

const withoutRecord = (view: BootstrapView): BootstrapDecision => {
  const { data, flags } = view;
  if (view.anyHistory && !flags.initialiseEmpty) {
    return refuse(
      "existing-data",
      `Cluster ${view.clusterId} has backups or an archive in its bucket, but its table has no topology record.`,
    );
  }
  switch (data.kind) {
    case "absent":
      return { step: "form", data: "initialise" };
    case "foreign":
      return flags.adopt
        ? { step: "form", data: "adopt" }
        : refuse("foreign-data", `The data directory is not one of this cluster's: ${data.because}.`);
    case "ours":
      if (flags.initialiseEmpty && view.anyHistory) {
        return {
          step: "set-aside",
          because: "an empty cluster was asked for in place of the one that these data belong to",
        };
      }
      // Restored data mean that there was a backup, and so a cluster, which is gone from both the table and the bucket.
      return data.marker.origin === "restored"
        ? refuse(
            "existing-data",
            "The data directory was restored from a backup, but neither record nor backup exist any more.",
          )
        : { step: "form", data: "own" };
  }
};

const otherLeads = (view: BootstrapView, record: TopologyRecord): BootstrapDecision => {
  const { data } = view;
  if (data.kind === "foreign" && !view.flags.adopt) {
    return refuse("foreign-data", `The data directory is not one of this cluster's: ${data.because}.`);
  }
  if (data.kind === "foreign") return { step: "adopt" };
  if (data.kind === "ours" && data.marker.formation !== record.formation) {
    return {
      step: "set-aside",
      because: `its data are of formation ${data.marker.formation}, and the cluster was formed anew as ${record.formation}`,
    };
  }
  if (record.phase === "forming" && view.primaryLease === "stale") {
    if (data.kind === "ours") return { step: "take-over", data: "own" };
    return view.backup ? { step: "restore", backup: view.backup } : { step: "take-over", data: "initialise" };
  }
  if (data.kind === "ours") return { step: "join" };
  if (view.backup) return { step: "restore", backup: view.backup };
  if (record.phase === "forming") {
    return wait(`${record.instance_id} is forming the cluster and its first backup is not there yet`);
  }
  return refuse(
    "no-backup",
    `Cluster ${view.clusterId} is serving, but its bucket has no full backup of formation ${record.formation}.`,
  );
};

const thisNodeLeads = (view: BootstrapView, record: TopologyRecord): BootstrapDecision => {
  const { data } = view;
  if (data.kind === "ours" && data.marker.formation === record.formation) return { step: "lead" };
  if (record.phase === "forming") {
    // Nobody was served yet, so this node may begin again under a new fence.
    if (data.kind === "ours")
      return { step: "set-aside", because: `its data are of formation ${data.marker.formation}` };
    if (data.kind === "absent") {
      return view.backup ? { step: "restore", backup: view.backup } : { step: "take-over", data: "initialise" };
    }
    return refuse("foreign-data", `The data directory is not one of this cluster's: ${data.because}.`);
  }
  return wait("the record names this node as primary, but its data are gone; another node must be promoted first");
};

/**
 * Decides the next step of a node that boots. The rules are those of a cluster that would rather not start than start empty
 * over data, and of a primary that was never replaced while it may still be alive.
 */
export const decideBootstrap = (view: BootstrapView): BootstrapDecision => {
  if (!view.record) return withoutRecord(view);
  return view.record.instance_id === view.me ? thisNodeLeads(view, view.record) : otherLeads(view, view.record);
};
