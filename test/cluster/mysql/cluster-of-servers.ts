import type { Credentials } from "#contract/credentials.ts";
import { accountNames } from "#contract/credentials.ts";
import { contains, union } from "#contract/gtid.ts";
import { waitFor } from "#node/lib/host/wait.ts";
import { clusterAccounts } from "#node/lib/mysql/accounts.ts";
import type { MysqlObservation, ReplicationSource } from "#node/lib/mysql/server.ts";
import { makeTestServers, type TestServer } from "./server-fixture.ts";

/** Passwords with everything that quoting could get wrong. */
export const credentials: Credentials = {
  root: `root'"\\;--%s`,
  replication: "repl'ication\"\\?#",
  backup: "backup-password",
  monitor: "monitor-password",
  orchestrator: "orchestrator-password",
  agent: "agent-signing-key",
  app: "`app$`password",
};

/** All of loopback: the tests' servers reach each other there. */
export const network = "127.0.0.0/255.0.0.0";

/** The accounts of a cluster with these server ids. */
export const accountsOf = (serverIds: readonly number[]) =>
  clusterAccounts({
    credentials,
    network,
    adminOsUser: process.env.USER ?? "root",
    serverIds,
    application: { schema: "shop", user: "shop" },
  });

/** How a replica reaches a source. */
export const sourceOf = (source: TestServer, replica: TestServer, tls = false): ReplicationSource => ({
  host: source.address,
  port: source.port,
  user: accountNames.replication(replica.serverId),
  password: credentials.replication,
  tls,
  bind: replica.address,
});

/** Waits until an observation is as wanted. */
export const until = (
  server: TestServer,
  what: string,
  wanted: (observation: MysqlObservation) => boolean,
  deadlineMs = 20_000,
): Promise<MysqlObservation> => {
  let last = "";
  return waitFor(
    what,
    async () => {
      const seen = await server.server.observe();
      last = JSON.stringify(seen);
      return wanted(seen) ? seen : undefined;
    },
    { everyMs: 50, deadlineMs, lastSeen: () => last },
  );
};

/** Makes the replica receive from the source, and waits until it has executed everything. */
export const replicate = async (source: TestServer, replica: TestServer): Promise<void> => {
  await replica.server.stopReplication();
  await replica.server.configureSource(sourceOf(source, replica));
  await replica.server.startReplication();
  await replica.server.waitForExecuted(await source.server.executedSet(), 30_000);
};

/** Waits until the replica has received or executed the set. */
export const untilReceived = (replica: TestServer, set: string): Promise<MysqlObservation> =>
  until(replica, `${replica.serverId} to receive ${set}`, (seen) =>
    contains(union(seen.gtid_executed, seen.replication?.received_gtid_set ?? ""), set),
  );

/** Opens a server as the primary of the given ids, with the accounts and one table. */
export const becomePrimary = async (primary: TestServer, serverIds: readonly number[]): Promise<void> => {
  await primary.server.open();
  await primary.server.ensureAccounts(accountsOf(serverIds));
  await primary.sql("CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)");
};

/** Starts a primary and a server that may replicate from it, and does not yet. `close` ends both. */
export const startPrimaryAndReplica = async () => {
  const servers = await makeTestServers();
  try {
    const [primary, replica] = [await servers.add(), await servers.add()];
    await becomePrimary(primary, [replica.serverId]);
    return { primary, replica, close: servers.close };
  } catch (error) {
    await servers.close();
    throw error;
  }
};
