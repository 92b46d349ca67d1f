import * as v from "valibot";

/** What Orchestrator's API answers, as far as this project reads it. Go writes an empty list as `null` at times. */

const list = <T extends v.GenericSchema>(item: T) => v.nullish(v.array(item), () => []);

const Key = v.object({ Hostname: v.string(), Port: v.number() });

/** The envelope of most answers; `Code` ERROR comes with HTTP status 500. */
export const Envelope = v.object({ Code: v.picklist(["OK", "ERROR"]), Message: v.string(), Details: v.unknown() });

/** A MySQL server as Orchestrator saw it last. */
const Instance = v.pipe(
  v.object({
    Key,
    ServerUUID: v.string(),
    ReadOnly: v.boolean(),
    MasterKey: Key,
    Slave_IO_Running: v.boolean(),
    Slave_SQL_Running: v.boolean(),
    IsLastCheckValid: v.boolean(),
    ClusterName: v.string(),
    IsDowntimed: v.boolean(),
    DowntimeReason: v.string(),
    DowntimeOwner: v.string(),
    Problems: list(v.string()),
  }),
  v.transform((seen) => ({
    host: seen.Key.Hostname,
    port: seen.Key.Port,
    serverUuid: seen.ServerUUID,
    readOnly: seen.ReadOnly,
    /** Undefined for one that does not replicate. */
    sourceHost: seen.MasterKey.Hostname === "" ? undefined : seen.MasterKey.Hostname,
    receives: seen.Slave_IO_Running,
    applies: seen.Slave_SQL_Running,
    /** Whether the last look at it succeeded. */
    answers: seen.IsLastCheckValid,
    clusterName: seen.ClusterName,
    downtime: seen.IsDowntimed ? { reason: seen.DowntimeReason, owner: seen.DowntimeOwner } : undefined,
    problems: seen.Problems,
  })),
);
export type OrchestratorInstance = v.InferOutput<typeof Instance>;

const Analysis = v.pipe(
  v.object({
    AnalyzedInstanceKey: Key,
    Analysis: v.string(),
    Description: v.string(),
    IsDowntimed: v.boolean(),
    IsActionableRecovery: v.boolean(),
  }),
  v.transform((seen) => ({
    host: seen.AnalyzedInstanceKey.Hostname,
    /** For example `DeadMaster`. */
    failure: seen.Analysis,
    description: seen.Description,
    downtimed: seen.IsDowntimed,
    actionable: seen.IsActionableRecovery,
  })),
);
export type OrchestratorAnalysis = v.InferOutput<typeof Analysis>;

const Recovery = v.pipe(
  v.object({
    UID: v.string(),
    AnalysisEntry: v.object({ AnalyzedInstanceKey: Key, Analysis: v.string(), CommandHint: v.string() }),
    SuccessorKey: v.nullish(Key),
    IsActive: v.boolean(),
    IsSuccessful: v.boolean(),
    Acknowledged: v.boolean(),
    RecoveryStartTimestamp: v.string(),
    RecoveryEndTimestamp: v.string(),
  }),
  v.transform((seen) => ({
    uid: seen.UID,
    failedHost: seen.AnalysisEntry.AnalyzedInstanceKey.Hostname,
    failure: seen.AnalysisEntry.Analysis,
    successorHost: seen.SuccessorKey?.Hostname || undefined,
    /** It still blocks other recoveries of this cluster (`RecoveryPeriodBlockSeconds`), also when it has ended. */
    blocks: seen.IsActive,
    successful: seen.IsSuccessful,
    acknowledged: seen.Acknowledged,
    startedAt: seen.RecoveryStartTimestamp,
    /** Empty while it runs. */
    endedAt: seen.RecoveryEndTimestamp,
  })),
);
export type OrchestratorRecovery = v.InferOutput<typeof Recovery>;

/** `127.0.0.12:10008`; empty when there is none. */
const PeerAddress = v.pipe(
  v.string(),
  v.transform((text) => text.replace(/:\d+$/, "")),
);

const RaftStatus = v.pipe(
  v.object({
    State: v.string(),
    Healthy: v.boolean(),
    IsPartOfQuorum: v.boolean(),
    Leader: PeerAddress,
    Peers: list(PeerAddress),
  }),
  v.transform((seen) => ({
    /** Raft's own word: `Leader`, `Follower`, `Candidate`. */
    state: seen.State,
    healthy: seen.Healthy,
    inQuorum: seen.IsPartOfQuorum,
    leader: seen.Leader === "" ? undefined : seen.Leader,
    peers: seen.Peers,
  })),
);
export type RaftStatus = v.InferOutput<typeof RaftStatus>;

const Health = v.pipe(
  v.object({ Healthy: v.boolean(), IsRaftLeader: v.boolean(), RaftHealthyMembers: list(v.string()) }),
  v.transform((seen) => ({
    healthy: seen.Healthy,
    leads: seen.IsRaftLeader,
    /** Followers that reported to this node within 20 s; only the leader knows any. */
    healthyFollowers: seen.RaftHealthyMembers.map((member) => member.replace(/:\d+$/, "")),
  })),
);
export type OrchestratorHealth = v.InferOutput<typeof Health>;

/** Schemas by what is asked; each accepts the answer's content, without the envelope. */
export const answers = {
  text: v.string(),
  peer: PeerAddress,
  peers: list(PeerAddress),
  raftStatus: RaftStatus,
  health: Health,
  instance: Instance,
  instances: list(Instance),
  analyses: list(Analysis),
  recoveries: list(Recovery),
  recoverySwitch: v.picklist(["enabled", "disabled"]),
  anything: v.unknown(),
} as const;
