import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeOrchestratorClient, type OrchestratorClient } from "#node/lib/orchestrator/client.ts";
import { downtimesToEnd } from "#node/lib/orchestrator/downtime.ts";
import { serveRecordings } from "./recorded-answers.ts";

const address = "127.98.0.11";
const port = 3000;
const uid = "1795262182908125668:1e979488448af889ff8827612f1b8b8974f6f1f5a586d89e11f7bfd76ae956f4";
let orchestrator: Awaited<ReturnType<typeof serveRecordings>>;
let client: OrchestratorClient;

beforeAll(async () => {
  orchestrator = await serveRecordings(address, port);
  client = makeOrchestratorClient({
    address,
    user: "orchestrator",
    password: async () => "a:pass word/",
    timeoutMs: 2000,
  });
});
afterAll(() => {
  orchestrator.server.closeAllConnections();
  orchestrator.server.close();
});

/** Asks with one recording as the answer; gives what the client makes of it and the path that it asked for. */
const asked = async <T>(file: string, ask: () => Promise<T>): Promise<{ result: T; path: string | undefined }> => {
  orchestrator.answerWith({ file });
  const result = await ask();
  return { result, path: orchestrator.seen.at(-1)?.path };
};

const unauthorized = { reason: "internal", message: expect.stringContaining("Unauthorized") };

describe("answers of a real Orchestrator", () => {
  const used = new Set<string>();

  it.each<[string, string, () => Promise<unknown>, unknown]>([
    ["leader-check.json", "/api/leader-check", () => client.leads(), true],
    ["raft-state.json", "/api/raft-state", () => client.raftState(), "Leader"],
    ["raft-health.json", "/api/raft-health", () => client.raftHealthy(), true],
    ["raft-leader.json", "/api/raft-leader", () => client.raftLeader(), "127.0.0.12"],
    ["raft-peers.json", "/api/raft-peers", () => client.raftPeers(), ["127.0.0.12", "127.0.0.11", "127.0.0.13"]],
    ["raft-add-peer.json", "/api/raft-add-peer/127.0.0.13", () => client.addPeer("127.0.0.13"), undefined],
    ["raft-remove-peer.json", "/api/raft-remove-peer/127.0.0.13", () => client.removePeer("127.0.0.13"), undefined],
    ["raft-yield.json", "/api/raft-yield/127.0.0.13", () => client.yieldTo("127.0.0.13"), undefined],
    [
      "raft-status.json",
      "/api/raft-status",
      () => client.raftStatus(),
      {
        state: "Leader",
        healthy: true,
        inQuorum: true,
        leader: "127.0.0.12",
        peers: ["127.0.0.12", "127.0.0.11", "127.0.0.13"],
      },
    ],
    ["health.json", "/api/health", () => client.health(), { healthy: true, leads: true, healthyFollowers: [] }],
    ["check-global-recoveries.json", "/api/check-global-recoveries", () => client.recoveriesEnabled(), true],
    ["replication-analysis.json", "/api/replication-analysis", () => client.replicationAnalysis(), []],
    [
      "replication-analysis.after-crash.json",
      "/api/replication-analysis",
      () => client.replicationAnalysis(),
      [
        {
          host: "127.0.0.12",
          failure: "DeadMasterWithoutReplicas",
          description: "Master cannot be reached by orchestrator and has no replica",
          downtimed: true,
          actionable: false,
        },
      ],
    ],
    [
      "topology.json",
      "/api/topology/127.0.0.11/3306",
      () => client.topologyOf("127.0.0.11"),
      expect.stringContaining("semi:master"),
    ],
  ])("%s", async (file, path, ask, expected) => {
    used.add(file);
    expect(await asked(file, ask)).toEqual({ result: expected, path });
  });

  it("cluster.json: the primary and its replicas", async () => {
    used.add("cluster.json");
    const { result, path } = await asked("cluster.json", () => client.clusterOf("127.0.0.11"));
    expect(path).toBe("/api/cluster/instance/127.0.0.11/3306");
    expect(result.map(({ host, sourceHost, receives, readOnly }) => [host, sourceHost, receives, readOnly])).toEqual([
      ["127.0.0.11", undefined, false, false],
      ["127.0.0.12", "127.0.0.11", true, true],
      ["127.0.0.13", "127.0.0.11", true, true],
    ]);
  });

  it("cluster.after-crash.json: the promoted one and the one that was moved below it", async () => {
    used.add("cluster.after-crash.json");
    const { result } = await asked("cluster.after-crash.json", () => client.clusterOf("127.0.0.13"));
    expect(result.map(({ host, sourceHost }) => [host, sourceHost])).toEqual([
      ["127.0.0.11", "127.0.0.13"],
      ["127.0.0.13", undefined],
    ]);
  });

  it("downtimed.json: a graceful takeover leaves the old primary, which replicates again, in downtime, which ends", async () => {
    used.add("downtimed.json");
    const { result } = await asked("downtimed.json", () => client.downtimed());
    expect(result.map(({ host, downtime }) => [host, downtime?.reason])).toEqual([["127.0.0.11", "lost-in-recovery"]]);
    expect(downtimesToEnd(result, "127.0.0.12", ["127.0.0.11", "127.0.0.12", "127.0.0.13"])).toEqual(["127.0.0.11"]);
  });

  it("downtimed.after-crash.json: the dead primary stays in downtime", async () => {
    used.add("downtimed.after-crash.json");
    const { result } = await asked("downtimed.after-crash.json", () => client.downtimed());
    expect(result.map(({ host, downtime, answers }) => [host, downtime?.reason, answers])).toEqual([
      ["127.0.0.12", "lost-in-recovery", false],
    ]);
    expect(downtimesToEnd(result, "127.0.0.13", ["127.0.0.11", "127.0.0.12", "127.0.0.13"])).toEqual([]);
  });

  it.each([
    ["audit-recovery.json", [["127.0.0.11", "127.0.0.12", true]]],
    [
      "audit-recovery.after-crash.json",
      [
        ["127.0.0.12", "127.0.0.13", true],
        ["127.0.0.11", "127.0.0.12", false],
      ],
    ],
  ])("%s: the newest recovery first, and whether it still blocks others", async (file, expected) => {
    used.add(file);
    const { result } = await asked(file, () => client.recoveries());
    expect(result.map(({ failedHost, successorHost, blocks }) => [failedHost, successorHost, blocks])).toEqual(
      expected,
    );
  });

  it.each<[string, string, () => Promise<unknown>]>([
    [
      "begin-downtime.json",
      "begin-downtime/127.0.0.13/3306/me/a%20reason/60s",
      () => client.beginDowntime("127.0.0.13", "me", "a reason", 60),
    ],
    ["end-downtime.json", "end-downtime/127.0.0.13/3306", () => client.endDowntime("127.0.0.13")],
    ["disable-global-recoveries.json", "disable-global-recoveries", () => client.disableRecoveries()],
    ["enable-global-recoveries.json", "enable-global-recoveries", () => client.enableRecoveries()],
    [
      "ack-all-recoveries.json",
      `ack-recovery/uid/${encodeURIComponent(uid)}?comment=not+safe`,
      () => client.acknowledgeRecovery(uid, "not safe"),
    ],
  ])("%s: refused where nobody leads", async (file, path, ask) => {
    used.add(file);
    orchestrator.answerWith({ file });
    await expect(ask()).rejects.toMatchObject(unauthorized);
    expect(orchestrator.seen.at(-1)?.path).toBe(`/api/${path}`);
  });

  it("master.unknown-cluster.json: Orchestrator's own words are in the failure", async () => {
    used.add("master.unknown-cluster.json");
    orchestrator.answerWith({ file: "master.unknown-cluster.json" });
    await expect(client.clusterOf("127.0.0.99")).rejects.toMatchObject({
      reason: "internal",
      message: expect.stringContaining("Unable to determine cluster name"),
    });
  });

  it("every recording of a call that is made here was used", async () => {
    // Takeovers are our own operation, and the rest is read by people in Orchestrator's own pages.
    const notAsked = [
      "blocked-recoveries",
      "clusters",
      "clusters-info",
      "graceful-master-takeover-auto",
      "graceful-master-takeover-auto.refused",
      "master",
    ];
    const all = await readdir(new URL("../../fixtures/orchestrator/api/", import.meta.url));
    expect(all.filter((file) => !used.has(file) && !notAsked.includes(file.replace(".json", "")))).toEqual([]);
  });
});

describe("answers that were not recorded", () => {
  it("a node that does not lead, is unhealthy, and knows no leader", async () => {
    orchestrator.answerText(404, '"Not leader"');
    expect(await client.leads()).toBe(false);
    orchestrator.answerText(200, '""');
    expect(await client.raftLeader()).toBeUndefined();
    orchestrator.answerText(500, '{"Code":"ERROR","Message":"unhealthy","Details":null}');
    expect(await client.raftHealthy()).toBe(false);
  });

  it("a peer that is there already, or gone already, is no error; another refusal is", async () => {
    const refuse = (words: string) =>
      orchestrator.answerText(500, JSON.stringify({ Code: "ERROR", Message: words, Details: null }));
    refuse("Cannot add raft peer: peer already known");
    await client.addPeer("127.0.0.13");
    refuse("Cannot remove raft peer: peer is unknown");
    await client.removePeer("127.0.0.13");
    refuse("Cannot remove raft peer: leadership lost while committing log");
    await expect(client.removePeer("127.0.0.13")).rejects.toMatchObject({
      reason: "internal",
      message: expect.stringContaining("leadership lost"),
    });
  });

  it("an empty list that Go wrote as null", async () => {
    orchestrator.answerText(200, "null");
    expect(await client.downtimed()).toEqual([]);
    expect(await client.raftPeers()).toEqual([]);
  });

  it("a wrong password says which one, and never what it was", async () => {
    orchestrator.answerText(401, "Not Authorized\n");
    const error = await client.health().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: "credentials-refused", message: expect.stringContaining("orchestrator") });
    expect(String(error)).not.toContain("pass word");
  });

  it.each([
    [200, "<html>oops</html>"],
    [502, '{"Code":"OK","Message":"","Details":"enabled"}'],
    [200, '{"Code":"OK","Message":"","Details":"perhaps"}'],
  ])("%s %s is not taken for an answer", async (status, text) => {
    orchestrator.answerText(status, text);
    await expect(client.recoveriesEnabled()).rejects.toMatchObject({ reason: "node-unreachable" });
  });

  it("authenticates from the node's own address", async () => {
    orchestrator.answerText(200, '"OK"');
    await client.leads();
    expect(orchestrator.seen.at(-1)).toMatchObject({
      authorization: `Basic ${Buffer.from("orchestrator:a:pass word/").toString("base64")}`,
      from: address,
    });
  });

  it("gives up when no answer comes in time, and says where when nobody listens", async () => {
    const impatient = (at: string) =>
      makeOrchestratorClient({ address: at, user: "orchestrator", password: async () => "", timeoutMs: 100 });
    orchestrator.hang();
    await expect(impatient(address).leads()).rejects.toMatchObject({
      reason: "node-unreachable",
      message: expect.stringContaining("nothing within 100 ms"),
    });
    await expect(impatient("127.98.0.12").leads()).rejects.toMatchObject({
      reason: "node-unreachable",
      message: expect.stringContaining("127.98.0.12:3000"),
    });
  });
});
