import { join } from "node:path";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { AgentClient } from "#node/lib/agent-client/client.ts";
import type { BootstrapContext } from "#node/lib/bootstrap/context.ts";
import { type JoinOutcome, joinAsReplica } from "#node/lib/bootstrap/join.ts";
import { type HighestFence, openHighestFence } from "#node/lib/host/highest-fence.ts";
import { runProgram } from "#node/lib/host/run.ts";
import { monotonicMs } from "#node/lib/host/wait.ts";
import { type MemoryBucket, memoryBucket } from "../../unit/node-bin/lib/backup/memory-bucket.ts";
import { manifest, marker, n1, n2, record } from "../../unit/node-bin/lib/cluster/samples.ts";
import { credentials } from "../mysql/cluster-of-servers.ts";
import type { TestServer } from "../mysql/server-fixture.ts";

/** A real mysqld that joins another real one; the rest of its node is told by the test. */
export interface JoiningNode {
  /** What the record says; tests change it. */
  recorded: TopologyRecord;
  /** The newest full backup; tests change it. */
  backup: BackupManifest | undefined;
  readonly bucket: MemoryBucket;
  /** The fence as the node's agent, another process, writes it. */
  readonly agentsFence: HighestFence;
  /** What the bootstrap told of itself. */
  readonly steps: string[];
  readonly context: BootstrapContext;
  join(): Promise<JoinOutcome>;
}

/** The agent of a primary that looks at its mysqld whenever it is asked. */
const agentOf = (primary: TestServer, highestFence: () => number): Pick<AgentClient, "status"> => ({
  status: async (address) => {
    const seenAt = monotonicMs();
    const mysql = await primary.server.observe();
    return {
      schema: 1,
      cluster_id: "c1",
      instance_id: n1,
      private_ip: address,
      availability_zone: "eu-central-1a",
      agent_version: "0",
      role: "primary",
      mysql: { ...mysql, up: true, seen_ms_ago: monotonicMs() - seenAt },
      highest_fence: highestFence(),
      serves_writes: { ok: true, because: "test" },
      serves_reads: { ok: false, because: "test" },
      problems: [],
    };
  },
});

/** A node with this replica's mysqld, in a serving cluster whose recorded primary is the other server. */
export const joiningNode = async (replica: TestServer, primary: TestServer): Promise<JoiningNode> => {
  const stateDir = join(replica.folder, "state");
  const fenceFile = join(stateDir, "highest-fence.json");
  const { server_uuid } = await primary.server.serverFacts();
  const bucket = memoryBucket();
  const steps: string[] = [];
  const say = (line: string): void => void steps.push(line);
  const node = {
    recorded: record({ fence: 5, private_ip: primary.address, server_uuid }),
    backup: { ...manifest, gtid_set: "" } as BackupManifest | undefined,
  };
  const context = {
    config: {
      cluster_id: "c1",
      state_dir: stateDir,
      mysql: { mysqld: replica.program.mysqld, datadir: replica.datadir, replication_tls: "off" },
    },
    identity: { instanceId: n2, privateIp: replica.address },
    log: { info: say, warn: say, error: say, debug: () => {} },
    run: runProgram,
    services: { start: async () => {} },
    topology: { read: async () => node.recorded },
    primaryWatch: { look: async () => "live" },
    highestFence: await openHighestFence(fenceFile),
    bucket,
    catalog: { newestFull: async () => node.backup },
    // The servers of tests have ports of their own.
    mysql: {
      ...replica.server,
      configureSource: (source) => replica.server.configureSource({ ...source, port: primary.port }),
    } as typeof replica.server,
    agents: agentOf(primary, () => node.recorded.fence),
    credentials: async () => credentials,
    step: async (what: string) => say(what),
    now: () => new Date(),
    signal: AbortSignal.timeout(120_000),
  } as unknown as BootstrapContext;
  return Object.assign(node, {
    bucket,
    agentsFence: await openHighestFence(fenceFile),
    steps,
    context,
    join: () => joinAsReplica(context, node.recorded, marker(), replica.serverId),
  });
};
