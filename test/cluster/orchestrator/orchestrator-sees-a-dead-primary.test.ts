import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFailed } from "vitest";
import { waitUntil } from "#lab/wait.ts";
import { hookAction } from "#node/lib/orchestrator/hook-action.ts";
import { readHookEvent } from "#node/lib/orchestrator/hook-event.ts";
import { becomePrimary, replicate } from "../mysql/cluster-of-servers.ts";
import { makeTestServers, type TestServer, type TestServers } from "../mysql/server-fixture.ts";
import { layOutBeside, type RanHook, type RealOrchestrator } from "./real-orchestrator.ts";
import { describeWithOrchestrator } from "./with-orchestrator.ts";

describeWithOrchestrator("a real Orchestrator sees a dead primary", (program) => {
  let folder: string;
  let servers: TestServers;
  let primary: TestServer;
  let replicas: TestServer[];
  let nodes: RealOrchestrator[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "orchestrators-"));
    servers = await makeTestServers();
    primary = await servers.add();
    replicas = [await servers.add(), await servers.add()];
    await becomePrimary(primary, [1, 2, 3]);
    for (const replica of replicas) await replicate(primary, replica);
    nodes = await layOutBeside([primary, ...replicas], { program, folder });
    for (const node of nodes) await node.start();
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await servers?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const logsOnFailure = (): void =>
    onTestFailed(async () => {
      for (const node of nodes) {
        const lines = (await node.log()).split("\n").filter((line) => !line.includes("martini"));
        process.stderr.write(`== ${node.address}\n${lines.slice(-60).join("\n")}\n`);
      }
    });

  /** All hooks that ran anywhere, in the order of each node. */
  const hooks = async (): Promise<RanHook[]> => (await Promise.all(nodes.map((node) => node.hooks()))).flat();

  const named = async (name: string): Promise<RanHook[]> => (await hooks()).filter((hook) => hook.name === name);

  /** Where each replica receives from, and under which account. */
  const sources = () =>
    Promise.all(
      replicas.map(async ({ sql }) => {
        const [row] = await sql("SHOW REPLICA STATUS");
        return { source: row?.Source_Host, user: row?.Source_User };
      }),
    );

  const readOnly = async (server: TestServer): Promise<unknown> =>
    (await server.sql("SELECT @@global.super_read_only super, @@global.read_only plain"))[0];

  const leader = async (): Promise<RealOrchestrator> => {
    let found: RealOrchestrator | undefined;
    await waitUntil(
      "one leads",
      async () => {
        for (const node of nodes) if (await node.client.leads()) found = node;
        return found !== undefined || "nobody";
      },
      30_000,
    );
    return found as RealOrchestrator;
  };

  it("each finds all three servers with the account of the cluster, and calls nothing a failure", async () => {
    logsOnFailure();
    const expected = [primary, ...replicas].map(({ address, serverId }) => [
      address,
      serverId === primary.serverId ? undefined : primary.address,
      true,
    ]);
    for (const { client } of nodes) {
      await waitUntil(
        "it knows the three and their roles",
        async () => {
          const seen = (await client.instances()).map(({ host, sourceHost, answers }) => [host, sourceHost, answers]);
          return JSON.stringify(seen.sort()) === JSON.stringify(expected.sort()) || { seen };
        },
        60_000,
      );
    }
    await leader();
    expect((await hooks()).filter(({ name }) => name !== "OnFailureDetection")).toEqual([]);
  });

  it("the primary is killed and the hook vetoes: nothing is moved, nobody is put into downtime, and it asks again after an acknowledgement", async () => {
    logsOnFailure();
    const before = await sources();
    await Promise.all(nodes.map((node) => node.veto(true)));
    await primary.stop("SIGKILL");
    await waitUntil("the hook is asked", async () => (await named("PreFailover")).length > 0 || "not yet", 60_000);
    const [asked] = await named("PreFailover");
    const action = hookAction(readHookEvent("PreFailover", asked?.env ?? {}));
    expect(action).toMatchObject({ do: "attempt", body: { failed_host: primary.address } });
    const uid = "body" in action ? action.body.uid : "";
    const { client } = await leader();
    // It blocks others until then, for RecoveryPeriodBlockSeconds.
    await waitUntil(
      "the recovery is recorded",
      async () => (await client.recoveries()).some((each) => each.uid === uid && each.blocks) || "no such recovery",
      10_000,
    );
    expect(await sources()).toEqual(before);
    for (const replica of replicas) expect(await readOnly(replica)).toEqual({ super: "1", plain: "1" });
    expect((await hooks()).filter(({ name }) => name.startsWith("Post"))).toEqual([]);

    const acknowledgedAt = performance.now();
    await client.acknowledgeRecovery(uid, "vetoed; try again");
    await waitUntil("it is asked again", async () => (await named("PreFailover")).length > 1 || "not yet", 60_000);
    expect(performance.now() - acknowledgedAt).toBeLessThan(20_000);
    expect((await named("PreFailover"))[1]?.env.ORC_RECOVERY_UID).not.toBe(uid);
    expect(await sources()).toEqual(before);
    expect(await client.downtimed()).toEqual([]);
  });
});
