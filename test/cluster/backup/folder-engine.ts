import { bytesBelow } from "#node/lib/backup/disk.ts";
import type { BackupEngine, CopyFacts } from "#node/lib/backup/engine.ts";
import { packFolder } from "#node/lib/backup/tar.ts";

export const someFacts: Omit<CopyFacts, "data_bytes"> = {
  gtid_set: "00000000-0000-0000-0000-000000000001:1-10",
  server_uuid: "00000000-0000-0000-0000-000000000001",
  server_version: "9.7.4",
  lower_case_table_names: 0,
  page_size: 16384,
};

/** An engine that packs a folder as it is, so that what follows the copy can be tested without a server. */
export const folderEngine = (folder: string): BackupEngine => ({
  name: "clone",
  packing: "tar+zstd",
  suffix: "tar.zst",
  version: async () => "9.7.4",
  copy: async () => {
    const stream = packFolder(folder, { exclude: ["auto.cnf"] });
    return {
      stream,
      facts: async () => ({ ...someFacts, data_bytes: await bytesBelow(folder) }),
      discard: async () => void stream.destroy(),
    };
  },
});
