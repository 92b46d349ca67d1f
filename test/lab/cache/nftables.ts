import { join } from "node:path";
import type { DebianProgram } from "./debian-program.ts";
import type { Entry } from "./entry.ts";

/** An unpacked nftables, for cuts between nodes; the program is a plain executable with its own libraries. */
export interface NftablesInstall {
  /** For example `1.0.6`. */
  readonly version: string;
  readonly nft: string;
}

export const nftablesProgram: DebianProgram = {
  entry: "nftables",
  program: "nft",
  path: "usr/sbin/nft",
  versionOption: "--version",
  version: /v(\d+\.\d+\.\d+)/,
};

/** Where things lie in a complete entry. */
export function nftablesInstall({ directory, version }: Entry): NftablesInstall {
  return { version, nft: join(directory, "bin", "nft") };
}
