import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import type { BootstrapContext } from "#node/lib/bootstrap/context.ts";
import { namingSetAside } from "#node/lib/bootstrap/set-aside.ts";

const contextWith = (folders: readonly string[]) => ({
  data: { setAsideBefore: async () => folders } as unknown as BootstrapContext["data"],
});
const full = new Failure("disk-full", { message: "A restore needs 2 GB, and 1 GB are free.", changed: "Nothing." });

describe("a disk that has no room for a restore", () => {
  it("is reported with the data directories that were set aside on it", async () => {
    const failure = await namingSetAside(contextWith(["/data/mysql.set-aside-1", "/data/mysql.set-aside-2"]), full);
    expect(failure).toMatchObject({ reason: "disk-full", message: full.message, changed: full.changed });
    expect((failure as Failure).next).toContain("/data/mysql.set-aside-1, /data/mysql.set-aside-2");
  });

  it("is reported as it is when none was, and so is everything else", async () => {
    const other = new Error("other");
    expect(await namingSetAside(contextWith([]), full)).toBe(full);
    expect(await namingSetAside(contextWith(["/data/mysql.set-aside-1"]), other)).toBe(other);
  });
});
