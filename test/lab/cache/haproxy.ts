import { join } from "node:path";
import type { DebianProgram } from "./debian-program.ts";
import type { Entry } from "./entry.ts";

/** An unpacked HAProxy; the program is a plain executable with its own libraries. */
export interface HaproxyInstall {
  /** For example `2.6.12`. */
  readonly version: string;
  readonly haproxy: string;
}

export const haproxyProgram: DebianProgram = {
  entry: "haproxy",
  program: "haproxy",
  path: "usr/sbin/haproxy",
  versionOption: "-v",
  version: /version (\d+\.\d+\.\d+)/,
};

/** Where things lie in a complete entry. */
export function haproxyInstall({ directory, version }: Entry): HaproxyInstall {
  return { version, haproxy: join(directory, "bin", "haproxy") };
}
