import { describe, expect, it } from "vitest";
import { cacheRoot } from "#lab/cache/paths.ts";

describe("the cache folder", () => {
  it("is below the home folder's .cache", () => {
    expect(cacheRoot({}, "/home/a")).toBe("/home/a/.cache/percona-actions");
  });

  it("follows XDG_CACHE_HOME, and before that PERCONA_ACTIONS_CACHE; an empty one counts as absent", () => {
    expect(cacheRoot({ XDG_CACHE_HOME: "/x" }, "/home/a")).toBe("/x/percona-actions");
    expect(cacheRoot({ XDG_CACHE_HOME: "/x", PERCONA_ACTIONS_CACHE: "/own" }, "/home/a")).toBe("/own");
    expect(cacheRoot({ XDG_CACHE_HOME: "", PERCONA_ACTIONS_CACHE: "" }, "/home/a")).toBe(
      "/home/a/.cache/percona-actions",
    );
  });

  it("cannot have a colon in its path", () => {
    expect(() => cacheRoot({ PERCONA_ACTIONS_CACHE: "/a:b" }, "/home/a")).toThrow(/PERCONA_ACTIONS_CACHE/);
  });
});
