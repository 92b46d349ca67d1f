import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { serverOptionsFile, writeServerOptions } from "#node/lib/mysql/server-options.ts";

it("the node's own options replace those of an earlier bootstrap, in a file that mysqld includes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "options-"));
  try {
    await writeServerOptions(folder, { serverId: 7, reportHost: "10.1.2.3" });
    await writeServerOptions(folder, { serverId: 4_294_967_295, reportHost: "10.1.2.4" });
    // mysqld reads only names with this ending.
    expect(serverOptionsFile).toMatch(/\.cnf$/);
    expect(await readdir(folder)).toEqual([serverOptionsFile]);
    const lines = (await readFile(join(folder, serverOptionsFile), "utf8")).split("\n");
    expect(lines).toEqual(expect.arrayContaining(["[mysqld]", "server_id = 4294967295", "report_host = 10.1.2.4"]));
    expect(lines.join()).not.toContain("10.1.2.3");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
