import { readFile } from "node:fs/promises";
import { accountNames } from "#contract/credentials.ts";
import { units } from "#contract/names.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import type { OrchestratorRecovery } from "#node/lib/orchestrator/answers.ts";
import { makeOrchestratorClient, type OrchestratorClient } from "#node/lib/orchestrator/client.ts";

/** The API of one node's Orchestrator. */
export const orchestratorOf = (lab: Lab, node: LabNode): OrchestratorClient =>
  makeOrchestratorClient({
    address: node.address,
    user: accountNames.orchestrator,
    password: async () => lab.cluster.credentials.orchestrator,
    timeoutMs: 5000,
  });

/** Orchestrator's journal on a node, and its agent's. */
export const journal = async (lab: Lab, name: string, unit: keyof typeof units): Promise<string> =>
  (await lab.logs(name))[units[unit]] ?? "";

/** All agents' journals, as one text. */
export const agentJournals = async (lab: Lab): Promise<string> => {
  const nodes = await lab.nodes();
  return (await Promise.all(nodes.map(({ name }) => journal(lab, name, "agent")))).join("\n");
};

/** `RaftNodes` in a node's file. */
export const raftNodesInFile = async (lab: Lab, name: string): Promise<string[]> =>
  JSON.parse(await readFile(lab.machine(name).machine.layout.orchestratorConfig, "utf8")).RaftNodes;

/** Waits until every node's Orchestrator has these peers, all alive, in raft and in its file, and one leads; gives that node. */
export const settledRaft = async (lab: Lab, deadlineMs = 90_000): Promise<LabNode> => {
  let leader: LabNode | undefined;
  await lab.waitUntil(
    "raft has the group's nodes as its peers",
    async () => {
      const nodes = await lab.nodes();
      const wanted = nodes.map(({ address }) => address).sort();
      const seen = await Promise.all(
        nodes.map(async (node) => {
          const client = orchestratorOf(lab, node);
          return {
            node: node.name,
            peers: (await client.raftPeers()).sort(),
            file: await raftNodesInFile(lab, node.name),
            alive: ((await lab.status(node.name)).raft?.peers ?? []).flatMap((peer) =>
              peer.alive ? [peer.address] : [],
            ),
            healthy: await client.raftHealthy(),
            leads: await client.leads(),
          };
        }),
      );
      const same = (addresses: readonly string[]): boolean => addresses.join() === wanted.join();
      const settled = seen.every((each) => same(each.peers) && same(each.file) && same(each.alive) && each.healthy);
      const leading = seen.filter(({ leads }) => leads);
      leader = nodes.find(({ name }) => name === leading[0]?.node);
      return (nodes.length === lab.cluster.nodes && settled && leading.length === 1) || { seen };
    },
    deadlineMs,
  );
  return leader as LabNode;
};

/** Waits until every Orchestrator sees this topology: the others replicate from the primary. */
export const seenByOrchestrator = async (lab: Lab, primary: LabNode): Promise<void> => {
  const nodes = await lab.nodes();
  await lab.waitUntil(
    `Orchestrator sees ${primary.name} with its replicas`,
    async () => {
      for (const node of nodes) {
        const known = await orchestratorOf(lab, node).clusterOf(primary.address);
        const replicas = known.filter(({ sourceHost, receives }) => sourceHost === primary.address && receives);
        if (replicas.length < nodes.length - 1) return { seen: { at: node.name, known } };
      }
      return true;
    },
    60_000,
  );
};

/** The recoveries of a failed node that Orchestrator has on its list, the newest first. */
export const recoveriesOf = async (lab: Lab, leader: LabNode, failed: LabNode): Promise<OrchestratorRecovery[]> =>
  (await orchestratorOf(lab, leader).recoveries()).filter(({ failedHost }) => failedHost === failed.address);
