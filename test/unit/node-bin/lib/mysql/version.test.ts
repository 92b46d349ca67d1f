import { describe, expect, it } from "vitest";
import { compareVersions, dialect, isAtLeast, isSupported, parseVersion, series } from "#node/lib/mysql/version.ts";

describe("a server version", () => {
  it.each([
    ["9.7.4", "9.7"],
    ["8.0.36-28", "8.0"],
    ["8.4.3-3.1", "8.4"],
    ["26.7.0", "26.7"],
    ["9.7.4-2+b1\n", "9.7"],
  ])("of %s is of the series %s", (text, expected) => {
    expect(series(parseVersion(text))).toBe(expected);
  });

  it.each(["9.7", "", "mysqld  Ver 9.7.4", "v9.7.4"])("is not read from %j", (text) => {
    expect(() => parseVersion(text)).toThrow(expect.objectContaining({ reason: "version-not-allowed" }));
  });

  it("is ordered by numbers, not by letters", () => {
    const shuffled = ["26.7.0", "8.4.10", "8.0.36-28", "9.7.4", "8.4.9", "8.0.36-4", "26.10.0", "8.0.36"];
    const sorted = shuffled.map(parseVersion).sort(compareVersions);
    expect(
      sorted.map(({ major, minor, patch, suffix }) => `${major}.${minor}.${patch}${suffix && `-${suffix}`}`),
    ).toEqual(["8.0.36", "8.0.36-4", "8.0.36-28", "8.4.9", "8.4.10", "9.7.4", "26.7.0", "26.10.0"]);
  });

  it("is at least itself, whatever the vendor's count", () => {
    expect(isAtLeast(parseVersion("8.2.0-1"), "8.2.0")).toBe(true);
    expect(isAtLeast(parseVersion("8.0.44-35"), "8.2.0")).toBe(false);
  });

  it.each([
    ["8.0.26", false],
    ["8.0.44-35", true],
    ["8.1.0", false],
    ["8.4.0", true],
    ["9.0.0", false],
    ["9.7.0", true],
    ["26.1.0", false],
    ["26.7.0", true],
    ["27.1.3", true],
    ["10.11.4", false],
  ])("%s is supported: %s", (text, expected) => {
    expect(isSupported(parseVersion(text))).toBe(expected);
  });

  it("is spoken to in the words that it knows", () => {
    for (const text of ["8.4.0", "9.7.4", "26.7.0"]) {
      expect(dialect(parseVersion(text))).toEqual({
        resetBinaryLogs: "RESET BINARY LOGS AND GTIDS",
      });
    }
    expect(dialect(parseVersion("8.0.44-35"))).toEqual({
      resetBinaryLogs: "RESET MASTER",
    });
  });
});
