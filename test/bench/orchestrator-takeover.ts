import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { accountNames } from "#contract/credentials.ts";
import { ports } from "#contract/ports.ts";
import { orchestratorMissing, orchestratorProgram } from "#lab/orchestrator.ts";
import { waitUntil } from "#lab/wait.ts";
import { replicationAccount } from "#node/lib/mysql/accounts.ts";
import { becomePrimary, credentials, network, replicate } from "../cluster/mysql/cluster-of-servers.ts";
import { makeTestServers, type TestServer } from "../cluster/mysql/server-fixture.ts";
import { layOutBeside, type RealOrchestrator } from "../cluster/orchestrator/real-orchestrator.ts";
import { startCrowd } from "./crowd.ts";
import type { Figure } from "./figures.ts";

/** What Orchestrator alone needs to move the primary by itself, as its own documents say. */
const alone = {
  ApplyMySQLPromotionAfterMasterFailover: true,
  // Each round is a takeover of its own.
  RecoveryPeriodBlockSeconds: 1,
  DetectSemiSyncEnforcedQuery: "select 1",
  PreGracefulTakeoverProcesses: [],
  PreFailoverProcesses: [],
};

const healthyMs = 60_000;

/** Three servers with an Orchestrator beside each, and nothing of this project on them. */
const startServers = async (program: string, folder: string) => {
  const servers = await makeTestServers();
  const all = [await servers.add(), await servers.add(), await servers.add()];
  const nodes = await layOutBeside(all, { program, folder, settings: alone });
  const end = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    await servers.close();
  };
  return { all, nodes, end };
};

const isOpen = async (server: TestServer): Promise<boolean> =>
  server.server.observe().then(
    (seen) => !seen.super_read_only && !seen.read_only,
    () => false,
  );

const openOne = async (all: readonly TestServer[], besides?: TestServer): Promise<TestServer> => {
  let found: TestServer | undefined;
  await waitUntil(
    "one server is writable",
    async () => {
      for (const server of all) if (server !== besides && (await isOpen(server))) found = server;
      return found !== undefined || "none";
    },
    healthyMs,
  );
  return found as TestServer;
};

const acknowledgeAll = async (nodes: readonly RealOrchestrator[]): Promise<void> => {
  for (const { client } of nodes) {
    for (const { uid, acknowledged } of await client.recoveries()) {
      if (!acknowledged) await client.acknowledgeRecovery(uid, "the benchmark goes on").catch(() => {});
    }
  }
};

/** Everybody replicates from the primary and acknowledges, and every Orchestrator sees it so. */
const settle = async (
  all: readonly TestServer[],
  nodes: readonly RealOrchestrator[],
  primary: TestServer,
): Promise<void> => {
  for (const server of all.filter((each) => each !== primary)) {
    await server.server.setSuperReadOnly().catch(() => {});
    await server.server.setSourceSemiSync({ on: false, acceptLoss: true });
    await replicate(primary, server);
    await server.server.setAcknowledging(true);
  }
  await primary.server.setSourceSemiSync({ on: true, waitCount: 1 });
  for (const { client } of nodes) {
    for (const { host } of await client.downtimed()) await client.endDowntime(host).catch(() => {});
    await waitUntil(
      "Orchestrator sees one primary and two replicas",
      async () => {
        const seen = (await client.instances()).map(({ host, sourceHost, answers }) => ({ host, sourceHost, answers }));
        const good = seen.filter(
          ({ host, sourceHost, answers }) => answers && (host === primary.address || sourceHost === primary.address),
        );
        return good.length === all.length || { seen };
      },
      healthyMs,
    );
  }
  await acknowledgeAll(nodes);
  await delay(3000);
};

const leader = async (nodes: readonly RealOrchestrator[]): Promise<RealOrchestrator> => {
  let found: RealOrchestrator | undefined;
  await waitUntil(
    "one leads",
    async () => {
      for (const node of nodes) if (await node.client.leads().catch(() => false)) found = node;
      return found !== undefined || "nobody";
    },
    healthyMs,
  );
  return found as RealOrchestrator;
};

/** Orchestrator's graceful takeover; it ends when the successor is writable. */
const takeOver = async (nodes: readonly RealOrchestrator[], primary: TestServer, next: TestServer): Promise<void> => {
  const { address } = await leader(nodes);
  const places = [primary, next].map((server) => `${server.address}/${server.port}`).join("/");
  const login = Buffer.from(`${accountNames.orchestrator}:${credentials.orchestrator}`).toString("base64");
  const url = `http://${address}:${ports.orchestratorHttp}/api/graceful-master-takeover/${places}`;
  const answer = await fetch(url, { headers: { authorization: `Basic ${login}` } });
  if (!answer.ok) throw new Error(`graceful takeover: ${answer.status} ${await answer.text()}`);
};

/**
 * How long the same clients are refused when Orchestrator alone moves the primary, with direct connections: what this project is compared
 * with. Nothing when Orchestrator is not found, which is said.
 */
export const orchestratorTakeovers = async (runs: number): Promise<Figure[]> => {
  const program = orchestratorProgram();
  if (program === undefined) {
    process.stderr.write(`== ORCHESTRATOR'S OWN TAKEOVER IS NOT MEASURED: ${orchestratorMissing}. ==\n`);
    return [];
  }
  const folder = await mkdtemp(join(tmpdir(), "bench-orchestrator-"));
  const { all, nodes, end } = await startServers(program, folder);
  try {
    const [first] = all as [TestServer, ...TestServer[]];
    await becomePrimary(first, [1, 2, 3]);
    await first.sql(
      "CREATE DATABASE app",
      "GRANT ALL ON app.* TO shop",
      // This project's account may only look.
      `GRANT ALL ON *.* TO '${accountNames.orchestrator}'@'${network}'`,
      "CREATE TABLE app.bench (k VARCHAR(60) PRIMARY KEY)",
    );
    // Whoever is primary next lets the others in.
    await first.server.ensureAccounts(
      all.map(({ serverId }) =>
        replicationAccount({ serverId, network, password: credentials.replication, everywhere: true }),
      ),
    );
    for (const server of all.slice(1)) await replicate(first, server);
    for (const node of nodes) await node.start();
    await leader(nodes);
    const places = all.map(({ address: host, port }) => ({
      user: "shop",
      ...(credentials.app === undefined ? {} : { password: credentials.app }),
      place: { host, port },
    }));
    const crowd = startCrowd("orchestrator", async () => places);
    const measure = async (name: string, act: (primary: TestServer, next: TestServer) => Promise<void>) => {
      const refused: number[] = [];
      for (let round = 0; round < runs; round += 1) {
        const primary = await openOne(all);
        await settle(all, nodes, primary);
        crowd.interruption();
        await act(primary, all.find((each) => each !== primary) as TestServer);
        await openOne(all, primary);
        const before = crowd.answered();
        await waitUntil("writes go on", () => crowd.answered() > before + 50 || "not yet", healthyMs);
        refused.push(crowd.interruption().refusedMs);
        process.stderr.write(`${name} ${round + 1}/${runs}: ${refused.at(-1)?.toFixed(0)} ms\n`);
      }
      return { name, unit: "ms" as const, measured: refused };
    };
    const figures = [
      await measure("Orchestrator alone: graceful takeover", (primary, next) => takeOver(nodes, primary, next)),
      await measure("Orchestrator alone: mysqld is killed", async (primary) => {
        await primary.stop("SIGKILL");
        await openOne(all, primary);
        await primary.start();
      }),
    ];
    await crowd.stop();
    return figures;
  } catch (error) {
    for (const node of nodes) process.stderr.write(`== ${node.address}\n${(await node.log()).slice(-20_000)}\n`);
    throw error;
  } finally {
    await end();
    await rm(folder, { recursive: true, force: true });
  }
};
