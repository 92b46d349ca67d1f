import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it, onTestFailed } from "vitest";
import { waitUntil } from "#lab/wait.ts";
import { leaveRaft } from "#node/lib/agent/orchestrator.ts";
import { emptyState } from "#node/lib/agent/state.ts";
import type { NodeIdentity } from "#node/lib/aws/metadata.ts";
import { makeOrchestratorClient } from "#node/lib/orchestrator/client.ts";
import { yieldBeforeStop } from "#node/lib/orchestrator/hand-over.ts";
import { nextRaftStep, type RaftInstance } from "#node/lib/orchestrator/raft-reconcile.ts";
import { layOutOrchestrator, type RealOrchestrator } from "./real-orchestrator.ts";
import { describeWithOrchestrator } from "./with-orchestrator.ts";

const [one, two, three, successor] = ["127.98.0.21", "127.98.0.22", "127.98.0.23", "127.98.0.24"] as const;
const password = "a\"quoted\\pass word'#;=";
const electionMs = 30_000;

describeWithOrchestrator("a real Orchestrator accepts the configuration", (program) => {
  let folder: string;
  let nodes: RealOrchestrator[] = [];

  const layOut = (address: string, raftNodes: readonly string[]): Promise<RealOrchestrator> =>
    layOutOrchestrator({ program, folder, address, password, raftNodes });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "orchestrators-"));
    for (const address of [one, two, three]) nodes.push(await layOut(address, [one, two, three]));
    for (const node of nodes) await node.start();
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(folder, { recursive: true, force: true });
  });

  const logsOnFailure = (): void =>
    onTestFailed(async () => {
      for (const node of nodes) {
        const log = await node.log();
        process.stderr.write(`== ${node.address}\n${log.split("\n").slice(-40).join("\n")}\n`);
      }
    });

  /** Waits until these agree on one leader among them; gives it. */
  const leaderOf = async (which: readonly RealOrchestrator[]): Promise<RealOrchestrator> => {
    let found: RealOrchestrator | undefined;
    await waitUntil(
      "all agree on one leader that knows it",
      async () => {
        const seen = await Promise.all(which.map((node) => node.client.raftStatus()));
        const leaders = [...new Set(seen.map(({ leader }) => leader))];
        found = which.find(({ address }) => address === leaders[0]);
        if (leaders.length !== 1 || found === undefined || !seen.every(({ healthy }) => healthy)) return { seen };
        return (await found.client.leads()) || { seen };
      },
      electionMs,
    );
    if (found === undefined) throw new Error("no leader");
    return found;
  };

  it("knows every setting, with the value that was given", async () => {
    logsOnFailure();
    const configPath = nodes[0]?.configPath ?? "";
    // With raft in the configuration its command line wants to be told that no leader is to be asked.
    const dump = spawn(
      program,
      ["--config", configPath, "--ignore-raft-setup", "--skip-binlog-search", "-c", "dump-config"],
      { cwd: folder, stdio: ["ignore", "pipe", "ignore"] },
    );
    const [output] = await Promise.all([text(dump.stdout), once(dump, "exit")]);
    const effective = JSON.parse(output) as Record<string, unknown>;
    const given = JSON.parse(await readFile(configPath, "utf8")) as Record<string, unknown>;
    expect(effective).toMatchObject(given);
    expect(effective).toMatchObject({ MySQLTopologyUser: "orchestrator", MySQLTopologyPassword: password });
  });

  it("three elect a leader and know each other", async () => {
    logsOnFailure();
    const leader = await leaderOf(nodes);
    for (const node of nodes) {
      expect((await node.client.raftPeers()).sort()).toEqual([one, two, three]);
      expect(await node.client.leads()).toBe(node === leader);
      expect(await node.client.raftState()).toBe(node === leader ? "Leader" : "Follower");
      expect(await node.client.raftHealthy()).toBe(true);
      expect(await node.client.raftLeader()).toBe(leader.address);
    }
    expect((await leader.client.health()).leads).toBe(true);
    await waitUntil(
      "the followers have reported to the leader",
      async () => (await leader.client.health()).healthyFollowers.length >= 2 || { seen: await leader.client.health() },
      electionMs,
    );
  });

  it("asks for the password", async () => {
    const stranger = makeOrchestratorClient({
      address: one,
      user: "orchestrator",
      password: async () => "",
      timeoutMs: 5000,
    });
    await expect(stranger.leads()).rejects.toMatchObject({ reason: "credentials-refused" });
  });

  it("recoveries paused at any node are paused at all, until they are enabled at any other", async () => {
    logsOnFailure();
    await leaderOf(nodes);
    const paused = () => Promise.all(nodes.map(async (node) => !(await node.client.recoveriesEnabled())));
    await nodes[0]?.client.disableRecoveries();
    await waitUntil("all have paused", async () => (await paused()).every(Boolean) || { seen: await paused() }, 10_000);
    await nodes[1]?.client.enableRecoveries();
    await waitUntil("all go on", async () => !(await paused()).some(Boolean) || { seen: await paused() }, 10_000);
  });

  it("the leader yields, and another leads", async () => {
    logsOnFailure();
    const leader = await leaderOf(nodes);
    const others = nodes.filter((node) => node !== leader).map(({ address }) => address);
    const done = await yieldBeforeStop(leader.client, leader.address, others);
    expect(done).toEqual({ did: "yielded", leader: expect.any(String) });
    expect(others).toContain((await leaderOf(nodes)).address);
    expect(await yieldBeforeStop(leader.client, leader.address, others)).toMatchObject({ did: "nothing" });
  });

  it("a node leaves: another leads before its Orchestrator is stopped", async () => {
    logsOnFailure();
    const leader = await leaderOf(nodes);
    const others = nodes.filter((node) => node !== leader);
    const state = emptyState();
    state.orchestrator.raft = { peers: nodes.map(({ address }) => ({ address, alive: true })) };
    let states: string[] = [];
    const stop = async (unit: string): Promise<void> => {
      expect(unit).toBe("orchestrator");
      states = await Promise.all(others.map(({ client }) => client.raftState()));
      await leader.kill();
    };
    const log = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
    await leaveRaft({
      identity: { instanceId: "i-0123456789abcdef0", privateIp: leader.address } as NodeIdentity,
      log,
      orchestrator: { client: leader.client, config: leader.config, answersAt: async () => true },
      services: { start: stop, stop, restartLater: stop, kill: stop },
      signal: new AbortController().signal,
      state,
    });
    expect(states.filter((each) => each === "Leader")).toHaveLength(1);
    await leader.start();
    await leaderOf(nodes);
  });

  it("answers about no mysqld have their form", async () => {
    const { client } = await leaderOf(nodes);
    expect(await client.downtimed()).toEqual([]);
    // It knows its seeds, whose mysqld is not there.
    for (const instance of await client.instances()) expect(instance).toMatchObject({ answers: false });
    expect(await client.recoveries()).toEqual([]);
    // Its analysis of such a seed comes and goes with its looks at it.
    for (const analysis of await client.replicationAnalysis()) expect(analysis).toMatchObject({ actionable: false });
    // There is no such recovery, which is no error.
    await client.acknowledgeRecovery(`1795262182908125668:${"0".repeat(64)}`, "a comment");
    await client.beginDowntime(one, "someone", "a reason", 60);
    await client.endDowntime(one);
  });

  it("a node that died and was replaced leaves the peers, and its successor joins, also in the files", async () => {
    logsOnFailure();
    const leader = await leaderOf(nodes);
    const dead = nodes.find((node) => node !== leader) as RealOrchestrator;
    await dead.kill();
    const living = nodes.filter((node) => node !== dead);
    const newcomer = await layOut(successor, []);
    nodes = [...living, newcomer];
    const group: RaftInstance[] = nodes.map(({ address }) => ({
      address,
      lifecycleState: "InService",
      answers: true,
    }));
    const done: string[] = [];

    /** What one node's agent does in one round. */
    const round = async (node: RealOrchestrator): Promise<boolean> => {
      const status = await node.client.raftStatus().catch(() => undefined);
      const step = nextRaftStep({
        self: node.address,
        instances: group,
        peers: status?.peers,
        leader: status?.leader,
        fileNodes: await node.config.raftNodes(),
      });
      if (step.do === "nothing") return false;
      done.push(`${step.do}${"address" in step ? ` ${step.address}` : ""}`);
      if (step.do === "rewrite-file") {
        await node.config.write({ raftNodes: step.nodes });
        if (node === newcomer) await newcomer.start();
      }
      if (step.do === "add-peer") await node.client.addPeer(step.address);
      if (step.do === "remove-peer") await node.client.removePeer(step.address);
      return true;
    };

    const wanted = nodes.map(({ address }) => address).sort();
    await waitUntil(
      "all have the same three peers and a leader",
      async () => {
        for (const node of nodes) await round(node);
        const peers = await Promise.all(nodes.map(async ({ client }) => (await client.raftPeers()).sort()));
        const files = await Promise.all(nodes.map(({ config }) => config.raftNodes()));
        const settled = [...peers, ...files].every((each) => each.join() === wanted.join());
        return (settled && (await newcomer.client.raftHealthy())) || { seen: { peers, files, done } };
      },
      60_000,
    );
    expect(done.indexOf(`remove-peer ${dead.address}`)).toBeLessThan(done.indexOf(`add-peer ${successor}`));
    await leaderOf(nodes);
    await newcomer.client.disableRecoveries();
    await waitUntil(
      "the newcomer takes part",
      async () => !(await newcomer.client.recoveriesEnabled()) || "not paused",
      10_000,
    );
    await newcomer.client.enableRecoveries();
  });

  it("the change outlives a restart of all, because the files have it", async () => {
    logsOnFailure();
    await Promise.all(nodes.map((node) => node.kill()));
    for (const node of nodes) await node.start();
    await leaderOf(nodes);
    const wanted = nodes.map(({ address }) => address).sort();
    for (const node of nodes) expect((await node.client.raftPeers()).sort()).toEqual(wanted);
  });
});
