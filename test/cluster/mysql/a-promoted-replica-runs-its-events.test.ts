import { beforeAll, expect, it } from "vitest";
import { replicate, startPrimaryAndReplica } from "./cluster-of-servers.ts";
import type { TestServer } from "./server-fixture.ts";

let primary: TestServer;
let replica: TestServer;
beforeAll(async () => {
  const started = await startPrimaryAndReplica();
  ({ primary, replica } = started);
  await primary.sql(
    "CREATE USER 'o''wner'@'%' IDENTIFIED BY 'owners-password'",
    "GRANT ALL ON shop.* TO 'o''wner'@'%'",
    "SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'",
    "CREATE DEFINER = 'o''wner'@'%' EVENT shop.`ev``ent` ON SCHEDULE EVERY 1 HOUR DO SET @x = 1",
    "CREATE EVENT shop.off ON SCHEDULE EVERY 1 HOUR DISABLE DO SET @x = 1",
  );
  await replicate(primary, replica);
  return started.close;
});

const events = (server: TestServer) =>
  server.sql(
    "SELECT EVENT_NAME n, STATUS s, DEFINER d, SQL_MODE m, TIME_ZONE z, EVENT_DEFINITION b FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY n",
  );

it("events that slept on the replica run after its promotion, as whose they were, and nothing is written for it", async () => {
  const before = await events(replica);
  expect(before.map(({ s }) => s)).toEqual(["REPLICA_SIDE_DISABLED", "REPLICA_SIDE_DISABLED"]);
  const [theirs] = await events(primary);
  await replica.server.stopReplication();
  await replica.server.open();
  const executed = await replica.server.executedSet();

  expect(await replica.server.enableEvents()).toBe(2);

  const [enabled] = await events(replica);
  expect(enabled).toEqual(theirs);
  expect(await replica.server.executedSet()).toBe(executed);
  expect(await replica.server.enableEvents()).toBe(0);
});
