import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { beforeEach, expect, it } from "vitest";
import { units } from "#contract/names.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { roles, writableNodes } from "../lab-fixture.ts";
import { useSituation } from "../situation.ts";
import { beginSwitchover, ended, readOperation } from "../switchover-fixture.ts";
import {
  agentJournals,
  journal,
  orchestratorOf,
  raftNodesInFile,
  recoveriesOf,
  seenByOrchestrator,
  settledRaft,
} from "./lab-with-orchestrator.ts";
import { describeWithOrchestrator } from "./with-orchestrator.ts";

describeWithOrchestrator("Orchestrator is the engine", () => {
  const here = useSituation({ engine: "orchestrator" });
  let lab: Lab;
  let leader: LabNode;
  beforeEach(async () => {
    lab = here.lab;
    leader = await settledRaft(lab);
    await seenByOrchestrator(lab, (await roles(lab)).primary);
  });

  /** mysqld dies and does not come back by itself. */
  const killForGood = async (node: LabNode): Promise<void> => {
    await lab.machine(node.name).killProcess("mysqld");
    await lab.machine(node.name).machine.systemctl("stop", units.mysql);
  };
  const bringBack = async (node: LabNode): Promise<void> => {
    await lab.machine(node.name).machine.systemctl("start", units.mysql);
    await lab.waitHealthy();
  };

  const replaced = async (old: LabNode): Promise<void> => {
    await here.anotherIsPrimary(old);
    await here.writesAgain();
  };

  it("each node's file names the group's addresses, sorted, and nobody else may read it", async () => {
    const addresses = (await lab.nodes()).map(({ address }) => address).sort();
    for (const { name } of await lab.nodes()) {
      expect(await raftNodesInFile(lab, name)).toEqual(addresses);
      expect((await stat(lab.machine(name).machine.layout.orchestratorConfig)).mode & 0o077).toBe(0);
      expect((await lab.status(name)).raft).toEqual({
        peers: addresses.map((address) => ({ address, alive: true })),
      });
    }
  });

  it("mysqld of the primary is killed: Orchestrator asks, the agents promote, Orchestrator moves nothing and may ask again", async () => {
    const { primary, record } = await roles(lab);
    const writing = await here.clientsWrite();
    await killForGood(primary);
    await replaced(primary);
    const now = (await roles(lab)).record;
    expect(now).toMatchObject({ timeline: record.timeline + 1, failover_from: primary.instanceId });
    expect(await agentJournals(lab)).toContain(`Orchestrator asks to replace ${primary.address}`);
    expect(await agentJournals(lab)).not.toContain("doing it without it");
    await lab.waitUntil(
      "the vetoed recovery is acknowledged",
      async () => {
        const recoveries = await recoveriesOf(lab, await settledRaft(lab), primary);
        const calm = recoveries.length > 0 && recoveries.every((each) => each.acknowledged && !each.blocks);
        return calm || { seen: recoveries };
      },
      20_000,
    );
    for (const recovery of await recoveriesOf(lab, await settledRaft(lab), primary)) {
      expect(recovery).toMatchObject({ successorHost: undefined, successful: false });
    }
    expect(await orchestratorOf(lab, leader).downtimed()).toEqual([]);
    await bringBack(primary);
    await here.expectSound(writing);
    await lab.waitUntil(
      "the failover is an operation that has ended",
      async () => {
        const operation = await readOperation(lab, now.operation_id ?? "");
        return (operation.kind === "failover" && operation.state === "succeeded") || { seen: operation };
      },
      20_000,
    );
  });

  it("the primary's whole node loses power, and raft's leadership with it when it led: another takes over, and it returns when it is booted", async () => {
    const { primary } = await roles(lab);
    const writing = await here.clientsWrite();
    await lab.machine(primary.name).kill();
    await replaced(primary);
    expect(await agentJournals(lab)).not.toContain("doing it without it");
    await here.backAndHealthy(primary.name);
    await here.expectSound(writing);
  });

  it("a switchover: recoveries are paused for its length, and on again after it", async () => {
    const { replicas } = await roles(lab);
    const [candidate] = replicas as [LabNode];
    const client = orchestratorOf(lab, leader);
    let paused = false;
    let through = false;
    const watching = (async () => {
      while (!through) paused = !(await client.recoveriesEnabled().catch(() => true)) || paused;
    })();
    const id = await beginSwitchover(lab, candidate.name, { target: candidate.instanceId });
    const operation = await ended(lab, id);
    through = true;
    await watching;
    expect(operation).toMatchObject({ state: "succeeded" });
    expect(paused).toBe(true);
    expect(await client.recoveriesEnabled()).toBe(true);
    expect((await roles(lab)).primary.name).toBe(candidate.name);
  });

  it("recoveries that an operation left paused are on again when no live operation holds the lock", async () => {
    await orchestratorOf(lab, leader).disableRecoveries();
    for (const node of await lab.nodes()) {
      const client = orchestratorOf(lab, node);
      await lab.waitUntil("they are on", async () => (await client.recoveriesEnabled()) || "paused", 20_000);
    }
  });

  it("hooks too early, out of order, twice, and on the dead primary's own node: one attempt and one answer for a recovery", async () => {
    const { primary, record, replicas } = await roles(lab);
    const [replica] = replicas as [LabNode];
    const crash: { hook: string; env: Record<string, string> }[] = JSON.parse(
      await readFile(new URL("../../fixtures/orchestrator/hooks-crash.json", import.meta.url), "utf8"),
    );
    const recorded = crash.find((each) => each.hook === "PreFailover");
    const newUid = (): string => `1795262182908125668:${randomBytes(32).toString("hex")}`;
    const hook = async (node: LabNode, name: string, uid: string) => {
      const given = {
        ...recorded?.env,
        ORC_FAILED_HOST: primary.address,
        ORC_SUCCESSOR_HOST: "",
        ORC_RECOVERY_UID: uid,
      };
      const timeoutMs = 40_000;
      return lab.machine(node.name).machine.run({
        script: [`"$PERCONA_ACTIONS_BIN/orchestrator-hook" ${name}`],
        environment: given,
        timeoutMs,
        signal: AbortSignal.timeout(timeoutMs),
      });
    };
    const uid = newUid();
    // The real ones keep out of it.
    for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("orchestrator", "SIGSTOP");
    try {
      const early = await hook(replica, "PreFailover", newUid());
      expect(early).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("the primary answers") });
      expect(await hook(primary, "PostMasterFailover", uid)).toMatchObject({ exitCode: 0 });
      expect(await lab.topology()).toMatchObject({ timeline: record.timeline, fence: record.fence });

      await killForGood(primary);
      // Orchestrator leads where it likes; that node's agent has another one do it.
      const answers = await Promise.all([hook(primary, "PreFailover", uid), hook(primary, "PreFailover", uid)]);
      for (const { exitCode, stderr } of answers) {
        expect(stderr).toMatch(/promoted i-[0-9a-f]+ itself/);
        expect(exitCode).toBe(1);
      }
      expect(await hook(replica, "PreFailover", newUid())).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining("is the recorded primary, not the node at"),
      });
      expect(await hook(replica, "PostUnsuccessfulFailover", uid)).toMatchObject({ exitCode: 0 });
      const asked = (await journal(lab, primary.name, "agent")).split("\n").filter((line) => line.includes(uid));
      expect(asked.filter((line) => line.includes("Orchestrator asks to replace"))).toHaveLength(1);
      expect(await lab.topology()).toMatchObject({ timeline: record.timeline + 1 });
    } finally {
      for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("orchestrator", "SIGCONT");
      await bringBack(primary);
    }
    // The real ones go on with what they saw last, and may have asked for a primary that was replaced long ago.
    expect(await lab.topology()).toMatchObject({ timeline: record.timeline + 1 });
    expect(await writableNodes(lab)).toHaveLength(1);
  });

  it("no hook ever comes: the agents replace the primary without Orchestrator after 15 s, and say so", async () => {
    const { primary, record } = await roles(lab);
    for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("orchestrator", "SIGSTOP");
    try {
      const killedAt = performance.now();
      await killForGood(primary);
      await replaced(primary);
      expect(performance.now() - killedAt).toBeGreaterThan(14_000);
      expect(await agentJournals(lab)).toMatch(/agent error Orchestrator has not replaced the primary.*without it/);
      expect(await lab.topology()).toMatchObject({ timeline: record.timeline + 1 });
    } finally {
      for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("orchestrator", "SIGCONT");
      await bringBack(primary);
    }
    expect(await writableNodes(lab)).toHaveLength(1);
  });

  it("an instance is terminated and replaced: its peer is removed, the new one is added, the files follow", async () => {
    const { primary, replicas } = await roles(lab);
    const before = (await lab.nodes()).map(({ address }) => address);
    const gone = replicas.find(({ name }) => name === leader.name) ?? (replicas[0] as LabNode);
    await lab.terminate(gone.name);
    await lab.waitUntil(
      "the group has another instance",
      async () => {
        const nodes = await lab.nodes();
        return (
          (nodes.length === 3 && !nodes.some(({ instanceId }) => instanceId === gone.instanceId)) || { seen: nodes }
        );
      },
      90_000,
    );
    await lab.waitHealthy();
    await settledRaft(lab);
    const after = (await lab.nodes()).map(({ address }) => address);
    expect(after).not.toEqual(before);
    await seenByOrchestrator(lab, primary);
    expect(await agentJournals(lab)).toContain(`removed the raft peer ${gone.address}`);
  });
});
