import type { Readable } from "node:stream";
import type { BackupManifest } from "#contract/backup-manifest.ts";

/** What is known about a copy once all of it was read. */
export interface CopyFacts
  extends Pick<
    BackupManifest,
    "gtid_set" | "server_uuid" | "server_version" | "lower_case_table_names" | "page_size" | "data_bytes"
  > {}

/** A physical copy of a running server, on its way. */
export interface PackedCopy {
  /** The packed copy. It ends without an error only when the copy is complete and its program ended well. */
  readonly stream: Readable;
  /** Facts for the manifest; some engines know them only at the end of the stream. */
  facts(): Promise<CopyFacts>;
  /** Removes what the copy left on this machine and ends its processes. Safe at any time, also twice. */
  discard(): Promise<void>;
}

/**
 * Makes a physical copy of the local server while it runs. An engine that streams (xtrabackup) and one that needs a folder of
 * its own first (clone) look the same from outside. Errors: `disk-full`, `backup-failed`, `interrupted`.
 */
export interface BackupEngine {
  readonly name: BackupManifest["engine"];
  readonly packing: BackupManifest["packing"];
  /** Suffix of the data objects, without a dot. */
  readonly suffix: string;
  version(): Promise<string>;
  /** Begins a copy; leftovers of a run that was killed are removed first. */
  copy(options: { readonly signal: AbortSignal; readonly progress: (line: string) => void }): Promise<PackedCopy>;
}
