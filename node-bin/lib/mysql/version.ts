import { Failure } from "#contract/failure-reasons.ts";

/** A server version as numbers. What follows the three numbers (`-36`, `-28.1`, `-2`) is kept as text and orders nothing but equals. */
export interface MysqlVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** A vendor's own count, for example `36-28` in `8.0.36-36-28`; empty without one. */
  readonly suffix: string;
}

/** Reads what `@@version` or a package says, for example `9.7.4-2`, `8.0.36-28`, `26.7.0`. Errors: `version-not-allowed`. */
export const parseVersion = (text: string): MysqlVersion => {
  const found = /^(\d+)\.(\d+)\.(\d+)(?:[.-](.*))?$/.exec(text.trim());
  if (!found) {
    throw new Failure("version-not-allowed", {
      message: `"${text}" is not a MySQL version; three numbers like 8.4.3 were expected.`,
    });
  }
  const [, major, minor, patch, suffix] = found;
  return { major: Number(major), minor: Number(minor), patch: Number(patch), suffix: suffix ?? "" };
};

const suffixNumbers = (suffix: string): number[] => (suffix.match(/\d+/g) ?? []).map(Number);

/** Below 0 when `a` is older than `b`, above 0 when it is newer. Numbers are compared as numbers, a vendor's count last. */
export const compareVersions = (a: MysqlVersion, b: MysqlVersion): number => {
  const ours = [a.major, a.minor, a.patch, ...suffixNumbers(a.suffix)];
  const theirs = [b.major, b.minor, b.patch, ...suffixNumbers(b.suffix)];
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    const difference = (ours[i] ?? -1) - (theirs[i] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
};

/** Whether a version is at least `text`, its vendor's count left out. */
export const isAtLeast = (version: MysqlVersion, text: string): boolean =>
  compareVersions({ ...version, suffix: "" }, parseVersion(text)) >= 0;

/** The release series, which backups and clones must share: `8.0`, `8.4`, `9.7`, `26.7`. */
export const series = (version: MysqlVersion): string => `${version.major}.${version.minor}`;

/**
 * Whether this project runs on the version: 8.0 (as a source of upgrades), 8.4 LTS, 9.7 LTS, calendar versions from 26.7 on. 8.0.27 is
 * the first whose settings all have the names of the option file, and whose parallel appliers keep the order of commits.
 */
export const isSupported = (version: MysqlVersion): boolean => {
  switch (series(version)) {
    case "8.0":
      return version.patch >= 27;
    case "8.4":
    case "9.7":
      return true;
    default:
      return isAtLeast(version, "26.7.0");
  }
};

/** What the supported versions say differently. */
export interface Dialect {
  readonly resetBinaryLogs: string;
}

/** The statements that differ between the supported versions. */
export const dialect = (version: MysqlVersion): Dialect => ({
  resetBinaryLogs: isAtLeast(version, "8.2.0") ? "RESET BINARY LOGS AND GTIDS" : "RESET MASTER",
});
