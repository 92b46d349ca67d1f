import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSmallIfThere, writeDurably } from "../host/files.ts";

/** What makes one life of a replica's mysqld: which process of which boot, and which relay log. */
export interface IncarnationParts {
  /** `/proc/sys/kernel/random/boot_id`: a new value with each boot of the machine. */
  readonly bootId: string;
  readonly pid: number;
  /** Start of the process in clock ticks since boot: field 22 of `/proc/{pid}/stat`. Process ids are used again, this is not. */
  readonly startTicks: string;
  /** A new random value before and after anything that discards the relay log. */
  readonly relayLog: string;
}

/** The incarnation as text, at most 100 characters. */
export const formatIncarnation = ({ bootId, pid, startTicks, relayLog }: IncarnationParts): string =>
  `${bootId}.${pid}.${startTicks}.${relayLog}`;

/** Field 22 of the text of `/proc/{pid}/stat`; undefined when it is not there. The program's name, field 2, may have spaces and brackets. */
export const startTicksOf = (stat: string): string | undefined => {
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const found = afterName[19];
  return found !== undefined && /^\d+$/.test(found) ? found : undefined;
};

/** Tells which life of mysqld is running, and begins a new one when its relay log is discarded. */
export interface IncarnationSource {
  /** The incarnation of the mysqld whose process id is in `pidFile`; undefined when no such process runs. */
  current(pidFile: string): Promise<string | undefined>;
  /**
   * Does what discards the relay log. The incarnation changes before it, so that what was held before is not counted
   * any more, and after it, so that what was seen meanwhile is not counted either.
   */
  discarding<T>(work: () => Promise<T>): Promise<T>;
}

/** File name in the node's state folder. */
export const incarnationFile = "relay-log-incarnation";

/** Reads `/proc`, and keeps the relay log's part of the incarnation in the state folder, durably. `proc` is `/proc`. */
export const makeIncarnation = (stateDir: string, proc = "/proc"): IncarnationSource => {
  const path = join(stateDir, incarnationFile);
  // Random values instead of a count: two processes may change it at once, and no value ever comes again.
  const renew = (): Promise<void> => writeDurably(path, `${randomUUID().slice(0, 8)}\n`, 0o644);
  let boot: string | undefined;
  const bootId = (): string => {
    // It cannot change while this process lives.
    boot ??= readFileSync(join(proc, "sys/kernel/random/boot_id"), "utf8").trim();
    return boot;
  };
  const statOf = (pid: number): string | undefined => {
    try {
      return readFileSync(join(proc, String(pid), "stat"), "utf8");
    } catch {
      // The process has ended, perhaps while it was looked at.
      return undefined;
    }
  };
  return {
    current: async (pidFile) => {
      const pid = Number(readSmallIfThere(pidFile)?.trim() || Number.NaN);
      if (!Number.isSafeInteger(pid)) return undefined;
      const stat = statOf(pid);
      const startTicks = stat === undefined ? undefined : startTicksOf(stat);
      if (startTicks === undefined) return undefined;
      const relayLog = readSmallIfThere(path)?.trim() || "0";
      return formatIncarnation({ bootId: bootId(), pid, startTicks, relayLog });
    },
    discarding: async (work) => {
      await renew();
      try {
        return await work();
      } finally {
        await renew();
      }
    },
  };
};
