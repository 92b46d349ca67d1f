import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findLoader, libraryFiles, wrapperText, writeWrappers } from "#lab/cache/programs.ts";

let prefix: string;
beforeEach(async () => {
  prefix = await mkdtemp(join(tmpdir(), "cache-programs-"));
});
afterEach(async () => {
  await rm(prefix, { recursive: true });
});

async function put(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(join(prefix, path, ".."), { recursive: true });
    await writeFile(join(prefix, path), "");
  }
}

describe("the loader of an unpacked prefix", () => {
  it("is found for any architecture, where libraries lie in usr/lib alone", async () => {
    await put(
      "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
      "usr/lib/aarch64-linux-gnu/libc.so.6",
      "usr/lib/mysql/x.so",
    );
    expect(await findLoader(prefix)).toEqual({
      loader: "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
      libraries: ["usr/lib/aarch64-linux-gnu"],
    });
  });

  it("is found where libraries lie in lib too", async () => {
    await put("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libssl.so.3");
    const loader = await findLoader(prefix);
    expect(loader).toEqual({
      loader: "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      libraries: ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"],
    });
    expect(await libraryFiles(prefix, loader)).toEqual([
      "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "usr/lib/x86_64-linux-gnu/libssl.so.3",
    ]);
  });

  it("is missed with a sentence", async () => {
    await put("usr/lib/x86_64-linux-gnu/libc.so.6");
    await expect(findLoader(prefix)).rejects.toThrow(/No ld-linux/);
  });
});

describe("a wrapper", () => {
  const loader = { loader: "usr/lib/t/ld.so", libraries: ["lib/t", "usr/lib/t"] };

  it("names no folder of this machine, and becomes the program", () => {
    const text = wrapperText({ name: "haproxy", path: "usr/sbin/haproxy", options: [] }, loader);
    expect(text).not.toContain(prefix);
    expect(text.trim().split("\n").at(-1)).toBe(
      'exec "$prefix/usr/lib/t/ld.so" "--library-path" "$prefix/lib/t:$prefix/usr/lib/t" --argv0 haproxy "$prefix/usr/sbin/haproxy" "$@"',
    );
  });

  it("is executable", async () => {
    const paths = await writeWrappers(
      prefix,
      [{ name: "mysqld", path: "usr/sbin/mysqld", options: ["--a=b"] }],
      loader,
    );
    expect(paths).toEqual(["bin/mysqld"]);
    expect((await stat(join(prefix, "bin/mysqld"))).mode & 0o777).toBe(0o755);
  });
});
