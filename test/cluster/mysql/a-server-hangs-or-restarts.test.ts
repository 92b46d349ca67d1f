import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { becomePrimary, credentials, until } from "./cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let node: TestServer;
beforeAll(async () => {
  servers = await makeTestServers();
  node = await servers.add();
  await becomePrimary(node, [1]);
});
afterAll(() => servers.close());

describe("a mysqld that hangs", () => {
  it("is given up within seconds, and is looked at again when it goes on", async () => {
    const before = await node.server.observe();
    node.signal("SIGSTOP");
    try {
      const began = performance.now();
      await expect(node.server.observe()).rejects.toMatchObject({ reason: "timed-out" });
      // The second look has to connect first, and is not let in.
      await expect(node.server.observe()).rejects.toMatchObject({ reason: "timed-out" });
      expect(performance.now() - began).toBeLessThan(7000);
    } finally {
      node.signal("SIGCONT");
    }
    const after = await until(node, "the server to answer again", () => true);
    expect(after.incarnation).toBe(before.incarnation);
  });

  it("does not hold up looking while a change waits", async () => {
    const holder = await node.connect();
    await holder.query("LOCK TABLES shop.t WRITE", [], { timeoutMs: 5000 });
    const change = node.server.setSuperReadOnly({ timeoutMs: 3000 }).catch((error: unknown) => error);
    const began = performance.now();
    for (let i = 0; i < 5; i++) await node.server.observe();
    expect(performance.now() - began).toBeLessThan(2000);
    await holder.close();
    expect(await change).toBeUndefined();
    await node.server.open();
  });
});

describe("a mysqld that restarts", () => {
  it("is another incarnation, read-only, and is found again by the same port", async () => {
    const before = await node.server.observe();
    expect(before.super_read_only).toBe(false);
    await node.stop("SIGKILL");
    await expect(node.server.observe()).rejects.toThrow(/did not let root in|closed|lost/i);
    await node.start();
    const after = await node.server.observe();
    expect(after).toMatchObject({ server_uuid: before.server_uuid, read_only: true, super_read_only: true });
    expect(after.incarnation).toBeDefined();
    expect(after.incarnation).not.toBe(before.incarnation);
    expect(after.gtid_executed).toBe(before.gtid_executed);
  });
});

describe("a mysqld that is full of sessions", () => {
  it("still becomes read-only, and its clients' sessions end", async () => {
    await node.server.open();
    await node.server.observe();
    await node.sql("SET GLOBAL max_connections = 10");
    const clients = [];
    for (;;) {
      const client = await node
        .connect({ user: "shop", password: credentials.app ?? "", host: node.address })
        .catch(() => undefined);
      if (!client) break;
      clients.push(client);
    }
    // The one place above the limit, which the server keeps for such as root.
    const last = await node.connect();
    await expect(node.connect()).rejects.toMatchObject({ errno: 1040 });
    await node.server.setSuperReadOnly({ timeoutMs: 3000 });
    expect((await node.server.observe()).super_read_only).toBe(true);
    expect(await node.server.clientSessions()).toBe(clients.length);
    expect(await node.server.endClientSessions()).toBe(clients.length);
    await last.query("SET GLOBAL max_connections = 200", [], { timeoutMs: 5000 });
    for (const client of clients) await expect(client.query("SELECT 1", [], { timeoutMs: 5000 })).rejects.toThrow();
    expect(await node.server.clientSessions()).toBe(0);
  });
});
