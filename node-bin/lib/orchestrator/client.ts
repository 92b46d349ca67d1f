import { Agent, request } from "node:http";
import { text as textOf } from "node:stream/consumers";
import * as v from "valibot";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { ports } from "#contract/ports.ts";
import {
  answers,
  Envelope,
  type OrchestratorAnalysis,
  type OrchestratorHealth,
  type OrchestratorInstance,
  type OrchestratorRecovery,
  type RaftStatus,
} from "./answers.ts";

/**
 * The API of this node's own Orchestrator. What changes something is passed on by Orchestrator to the one that leads, except
 * `yieldTo`. Errors of all methods: `node-unreachable` when it does not answer in time or not in its own form,
 * `credentials-refused`, `internal` with Orchestrator's words when it refuses.
 */
export interface OrchestratorClient {
  /** Whether this node's Orchestrator leads. */
  leads(): Promise<boolean>;
  health(): Promise<OrchestratorHealth>;
  /** Whether raft is healthy as this node sees it. */
  raftHealthy(): Promise<boolean>;
  /** Raft's own word: `Leader`, `Follower`, `Candidate`. */
  raftState(): Promise<string>;
  raftStatus(): Promise<RaftStatus>;
  /** Address of the one that leads; undefined when there is none now. */
  raftLeader(): Promise<string | undefined>;
  /** Addresses of all peers, as this node knows them. */
  raftPeers(): Promise<string[]>;
  /** Lasts until a restart, unless `RaftNodes` changes too. A peer that is there already is no error. */
  addPeer(address: string): Promise<void>;
  /** See `addPeer`. A peer that is not there is no error. */
  removePeer(address: string): Promise<void>;
  /**
   * Asks all but this one not to lead for 5 s. Only at the one that leads. The answer comes before the effect, and a third
   * that hears of it late may still be elected.
   */
  yieldTo(address: string): Promise<void>;
  /** Pauses recoveries on all nodes, until they are enabled again, also over restarts. */
  disableRecoveries(): Promise<void>;
  enableRecoveries(): Promise<void>;
  recoveriesEnabled(): Promise<boolean>;
  beginDowntime(address: string, owner: string, reason: string, seconds: number): Promise<void>;
  endDowntime(address: string): Promise<void>;
  /** Instances in downtime. */
  downtimed(): Promise<OrchestratorInstance[]>;
  /** Failures that are seen now. */
  replicationAnalysis(): Promise<OrchestratorAnalysis[]>;
  /** Instances of the cluster that this instance belongs to. */
  clusterOf(address: string): Promise<OrchestratorInstance[]>;
  /** The tree of that cluster, as text for people. */
  topologyOf(address: string): Promise<string>;
  /** All instances that it knows. */
  instances(): Promise<OrchestratorInstance[]>;
  /** Looks at an instance now, and from then on. */
  discover(address: string): Promise<void>;
  /** Forgets an instance that is gone, so that its address can be another's. */
  forget(address: string): Promise<void>;
  /** The last recoveries, the newest first. */
  recoveries(): Promise<OrchestratorRecovery[]>;
  /** Ends the time for which a recovery blocks others, also a vetoed one. */
  acknowledgeRecovery(uid: string, comment: string): Promise<void>;
}

interface Reply {
  readonly status: number;
  readonly text: string;
}

/** What is asked for: parts of the path, each one encoded. */
type Path = readonly [string, ...(string | number)[]];

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A client whose connections come from the node's own address; each call gives up after `timeoutMs`. */
export const makeOrchestratorClient = (options: {
  /** Where Orchestrator listens. */
  readonly address: string;
  /** The node's own address, where connections come from; by default the same. */
  readonly sourceAddress?: string;
  readonly port?: number;
  readonly user: string;
  readonly password: () => Promise<string>;
  readonly timeoutMs: number;
}): OrchestratorClient => {
  const { address, port = ports.orchestratorHttp, sourceAddress = address } = options;
  const connections = new Agent({ keepAlive: true, maxSockets: 4, localAddress: sourceAddress });
  const where = `Orchestrator at ${address}:${port}`;

  const send = (path: string, password: string): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const late = AbortSignal.timeout(options.timeoutMs);
      const fail = (cause: unknown): void =>
        reject(
          new Failure("node-unreachable", {
            message: `${where} did not answer ${path}: ${late.aborted ? `nothing within ${options.timeoutMs} ms` : messageOf(cause)}.`,
            changed: "What was asked for may have taken effect.",
            next: "It is tried again. See the unit orchestrator of this node.",
            cause,
          }),
        );
      const sent = request(
        {
          host: address,
          port,
          path,
          auth: `${options.user}:${password}`,
          agent: connections,
          signal: late,
        },
        (response) => {
          textOf(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), fail);
        },
      );
      sent.on("error", fail);
      sent.end();
    });

  const get = async (parts: Path, query: Readonly<Record<string, string>> = {}): Promise<Reply & { path: string }> => {
    const search = new URLSearchParams(query).toString();
    const path = `/api/${parts.map(encodeURIComponent).join("/")}${search === "" ? "" : `?${search}`}`;
    const reply = await send(path, await options.password());
    if (reply.status === 401) {
      throw new Failure("credentials-refused", {
        message: `${where} refused the password of ${options.user}.`,
        changed: "Nothing was changed.",
        next: "Its configuration is written again from the secret; restart the unit orchestrator. Running it again is safe.",
      });
    }
    return { ...reply, path };
  };

  const unexpected = ({ status, text, path }: Reply & { path: string }): Failure =>
    new Failure("node-unreachable", {
      message: `${where} answered ${path} with ${status} in an unexpected form: ${text.trim().slice(0, 200)}.`,
      changed: "What was asked for may have taken effect.",
    });

  /** The words with which it refused; undefined when it did not. */
  const refusal = (reply: Reply): string | undefined => {
    const envelope = v.safeParse(Envelope, parse(reply.text));
    return envelope.success && envelope.output.Code === "ERROR" ? envelope.output.Message : undefined;
  };

  const refused = (path: string, words: string): Failure =>
    new Failure("internal", {
      message: `${where} refused ${path}: ${words}.`,
      changed: "Nothing was changed.",
      next: "It is tried again; Unauthorized means that no Orchestrator leads, or that this one does not.",
    });

  /** The content of an answer, out of its envelope where it has one. */
  const ask = async <T extends v.GenericSchema>(
    schema: T,
    parts: Path,
    query?: Readonly<Record<string, string>>,
  ): Promise<v.InferOutput<T>> => {
    const reply = await get(parts, query);
    const words = refusal(reply);
    if (words !== undefined) throw refused(reply.path, words);
    const content = parse(reply.text);
    const envelope = v.safeParse(Envelope, content);
    const parsed = v.safeParse(schema, envelope.success ? envelope.output.Details : content);
    if (reply.status !== 200 || !parsed.success) throw unexpected(reply);
    return parsed.output;
  };

  /** Asks for a change of the peers; what is so already is no error. */
  const changePeers = async (parts: Path, already: string): Promise<void> => {
    const reply = await get(parts);
    const words = refusal(reply);
    if (words?.includes(already)) return;
    if (words !== undefined) throw refused(reply.path, words);
    if (reply.status !== 200) throw unexpected(reply);
  };

  return {
    leads: async () => {
      const reply = await get(["leader-check"]);
      const word = v.safeParse(v.picklist(["OK", "Not leader"]), parse(reply.text));
      if (!word.success) throw unexpected(reply);
      return word.output === "OK";
    },
    health: () => ask(answers.health, ["health"]),
    raftHealthy: async () => {
      const reply = await get(["raft-health"]);
      if (refusal(reply) !== undefined) return false;
      if (reply.status !== 200) throw unexpected(reply);
      return parse(reply.text) === "healthy";
    },
    raftState: () => ask(answers.text, ["raft-state"]),
    raftStatus: () => ask(answers.raftStatus, ["raft-status"]),
    raftLeader: async () => (await ask(answers.peer, ["raft-leader"])) || undefined,
    raftPeers: () => ask(answers.peers, ["raft-peers"]),
    addPeer: (peer) => changePeers(["raft-add-peer", peer], "peer already known"),
    removePeer: (peer) => changePeers(["raft-remove-peer", peer], "peer is unknown"),
    yieldTo: async (peer) => void (await ask(answers.anything, ["raft-yield", peer])),
    disableRecoveries: async () => void (await ask(answers.anything, ["disable-global-recoveries"])),
    enableRecoveries: async () => void (await ask(answers.anything, ["enable-global-recoveries"])),
    recoveriesEnabled: async () => (await ask(answers.recoverySwitch, ["check-global-recoveries"])) === "enabled",
    beginDowntime: async (host, owner, reason, seconds) =>
      void (await ask(answers.anything, ["begin-downtime", host, ports.mysql, owner, reason, `${seconds}s`])),
    endDowntime: async (host) => void (await ask(answers.anything, ["end-downtime", host, ports.mysql])),
    downtimed: () => ask(answers.instances, ["downtimed"]),
    replicationAnalysis: () => ask(answers.analyses, ["replication-analysis"]),
    clusterOf: (host) => ask(answers.instances, ["cluster", "instance", host, ports.mysql]),
    topologyOf: (host) => ask(answers.text, ["topology", host, ports.mysql]),
    instances: () => ask(answers.instances, ["all-instances"]),
    discover: async (host) => void (await ask(answers.anything, ["discover", host, ports.mysql])),
    forget: async (host) => void (await ask(answers.anything, ["forget", host, ports.mysql])),
    recoveries: () => ask(answers.recoveries, ["audit-recovery"]),
    acknowledgeRecovery: async (uid, comment) =>
      void (await ask(answers.anything, ["ack-recovery", "uid", uid], { comment })),
  };
};
