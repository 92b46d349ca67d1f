import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { renderTemplate } from "#lab/option-file.ts";
import { HookName } from "#node/lib/orchestrator/hook-event.ts";

const template = new URL("../../../../../puppet/templates/orchestrator.conf.json.epp", import.meta.url);

/** Names that Orchestrator 3.2 knows, of those that this project sets; it ignores unknown ones without a word. */
const known = new Set(
  `ListenAddress HTTPAdvertise AuthenticationMethod HTTPAuthUser HTTPAuthPassword BackendDB SQLite3DataFile RaftEnabled
   RaftDataDir RaftBind RaftAdvertise DefaultRaftPort RaftNodes MySQLTopologyCredentialsConfigFile MySQLTopologySSLSkipVerify
   MySQLTopologyUseMixedTLS DefaultInstancePort DiscoverySeeds HostnameResolveMethod MySQLHostnameResolveMethod
   InstancePollSeconds UnseenInstanceForgetHours ReasonableReplicationLagSeconds ReasonableMaintenanceReplicationLagSeconds UseSuperReadOnly
   ReplicationCredentialsQuery DetectSemiSyncEnforcedQuery EnforceExactSemiSyncReplicas RecoverLockedSemiSyncMaster
   RecoverMasterClusterFilters RecoverIntermediateMasterClusterFilters RecoverNonWriteableMaster
   ApplyMySQLPromotionAfterMasterFailover MasterFailoverDetachReplicaMasterHost DetachLostSlavesAfterMasterFailover
   DetachLostReplicasAfterMasterFailover DelayMasterPromotionIfSQLThreadNotUpToDate FailMasterPromotionIfSQLThreadNotUpToDate
   RecoveryPeriodBlockSeconds FailureDetectionPeriodBlockMinutes InstanceBulkOperationsWaitTimeoutSeconds ProcessesShellCommand
   OnFailureDetectionProcesses PreGracefulTakeoverProcesses PreFailoverProcesses PostMasterFailoverProcesses
   PostIntermediateMasterFailoverProcesses PostFailoverProcesses PostUnsuccessfulFailoverProcesses
   PostGracefulTakeoverProcesses PostTakeMasterProcesses`.split(/\s+/),
);

let config: Record<string, unknown>;

beforeAll(async () => {
  const text = renderTemplate(await readFile(template, "utf8"), {
    address: "10.1.0.7",
    http_port: 3000,
    raft_port: 10008,
    mysql_port: 3306,
    account: "orchestrator",
    data_dir: "/var/lib/orchestrator",
    credentials_file: "/etc/percona-actions/orchestrator.cnf",
    hook: "/opt/percona-actions/bin/orchestrator-hook",
  });
  config = JSON.parse(text);
});

describe("Orchestrator's configuration", () => {
  it("has only names that Orchestrator knows", () => {
    expect(Object.keys(config).filter((name) => !known.has(name))).toEqual([]);
  });

  it.each<[string, string, unknown]>([
    ["a read-only primary is never opened behind the fence (T-24)", "RecoverNonWriteableMaster", false],
    ["a successor is opened by the holder of the fence only", "ApplyMySQLPromotionAfterMasterFailover", false],
    ["semi-sync is the agents' alone", "DetectSemiSyncEnforcedQuery", ""],
    ["semi-sync on replicas is the agents' alone", "EnforceExactSemiSyncReplicas", false],
    ["a primary without ackers is the agents' matter", "RecoverLockedSemiSyncMaster", false],
    ["administrators cannot write to what is read-only (T-21)", "UseSuperReadOnly", true],
    ["no second failover within the first, and one within the hour (T-25)", "RecoveryPeriodBlockSeconds", 30],
    ["a failure is looked at again within a minute", "FailureDetectionPeriodBlockMinutes", 1],
    ["what was received is applied before a promotion (T-26)", "DelayMasterPromotionIfSQLThreadNotUpToDate", true],
    ["not both: Orchestrator would refuse to start", "FailMasterPromotionIfSQLThreadNotUpToDate", false],
    [
      "replicas that lag are never told to receive again: one may be frozen",
      "ReasonableReplicationLagSeconds",
      31_536_000,
    ],
    ["nodes are never merged by name (T-32)", "HostnameResolveMethod", "none"],
    ["a node is what it reports to be (T-32)", "MySQLHostnameResolveMethod", "@@report_host"],
    ["each node keeps its own replication account, and no other is invented (T-28)", "ReplicationCredentialsQuery", ""],
    ["a lost replica keeps its source and its relay logs", "DetachLostReplicasAfterMasterFailover", false],
    ["the old name of the same, which switches it on by default", "DetachLostSlavesAfterMasterFailover", false],
    ["a successor keeps its source until it is opened", "MasterFailoverDetachReplicaMasterHost", false],
    ["every cluster's primary is recovered", "RecoverMasterClusterFilters", ["*"]],
    ["there are no intermediate primaries to recover", "RecoverIntermediateMasterClusterFilters", []],
    ["a stopped applier does not hold up the others for long", "InstanceBulkOperationsWaitTimeoutSeconds", 3],
    ["the API asks for a password", "AuthenticationMethod", "basic"],
    ["a terminated node is forgotten within a day (T-32)", "UnseenInstanceForgetHours", 24],
    [
      "it starts only after the node has put the password there",
      "MySQLTopologyCredentialsConfigFile",
      "/etc/percona-actions/orchestrator.cnf",
    ],
  ])("%s", (_, name, value) => {
    expect(config[name]).toEqual(value);
  });

  it("listens on the node's own address only", () => {
    expect([config.ListenAddress, config.RaftBind, config.RaftAdvertise]).toEqual([
      "10.1.0.7:3000",
      "10.1.0.7:10008",
      "10.1.0.7:10008",
    ]);
  });

  it("has no secret in the template", async () => {
    expect(config.HTTPAuthPassword).toBe("");
    expect(config.MySQLTopologyPassword).toBeUndefined();
    expect(await readFile(template, "utf8")).not.toMatch(/\$password|_password/);
  });

  it("calls the one script for every event, with nothing of Orchestrator's in the shell line", () => {
    for (const name of HookName.options) {
      // A detection is only told; the recovery need not wait for that.
      const background = name === "OnFailureDetection" ? " &" : "";
      expect(config[`${name}Processes`]).toEqual([`'/opt/percona-actions/bin/orchestrator-hook' ${name}${background}`]);
    }
    expect(JSON.stringify(config)).not.toMatch(/\{\w+\}/);
  });
});
