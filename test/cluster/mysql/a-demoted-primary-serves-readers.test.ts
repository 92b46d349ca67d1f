import { beforeAll, expect, it } from "vitest";
import { replicate, startPrimaryAndReplica, until } from "./cluster-of-servers.ts";
import type { TestServer } from "./server-fixture.ts";

let primary: TestServer;
let replica: TestServer;
beforeAll(async () => {
  const started = await startPrimaryAndReplica();
  ({ primary, replica } = started);
  await replicate(primary, replica);
  await replica.server.setAcknowledging(true);
  await primary.server.setSourceSemiSync({ on: true, waitCount: 1 });
  await until(primary, "one client that acknowledges", (seen) => seen.semi_sync?.clients === 1);
  return started.close;
});

/** Longest time that a new session took until it had read, milliseconds, while something is done. */
const longestReadDuring = async (work: () => Promise<unknown>): Promise<number> => {
  let done = false;
  const finished = work().finally(() => {
    done = true;
  });
  let longest = 0;
  do {
    const began = performance.now();
    const connection = await primary.connect();
    await connection.query("SELECT COUNT(*) FROM shop.t", [], { timeoutMs: 5000 });
    await connection.close();
    longest = Math.max(longest, performance.now() - began);
  } while (!done);
  await finished;
  return longest;
};

it("switching semi-sync off keeps no reader waiting when the ackers have left, which the server has not noticed", async () => {
  await primary.sql("INSERT INTO shop.t (v) VALUES (1)");
  await primary.server.setSuperReadOnly({ timeoutMs: 5000 });
  await replica.server.stopReplication();
  const longest = await longestReadDuring(() => primary.server.setSourceSemiSync({ on: false, unhurried: true }));
  expect((await primary.server.observe()).semi_sync?.source_enabled).toBe(false);
  expect(longest).toBeLessThan(400);
});
