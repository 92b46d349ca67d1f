import { describe, expect, it } from "vitest";
import type { NodeStatus } from "#contract/agent-api.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { LabNode } from "#lab/controls.ts";
import { judged, type Seen } from "#lab/overview.ts";
import { overviewText } from "#lab/tables.ts";

const cluster = { clusterId: "lab-1", nodes: 3 };
const id = (n: number): string => `i-0000000${n}`;

const node = (n: number, change: Partial<LabNode> = {}): LabNode => ({
  name: `n${n}`,
  instanceId: id(n),
  address: `127.1.11.${n}`,
  zone: "us-east-1a",
  state: "running",
  lifecycle: "InService",
  power: "on",
  units: { "percona-agent": "active", "percona-bootstrap": "inactive" },
  logDirectory: "/log",
  mysqlSocket: "/socket",
  ...change,
});

const status = (n: number, role: "primary" | "replica", change: Partial<NodeStatus> = {}): NodeStatus => ({
  schema: 1,
  cluster_id: "lab-1",
  instance_id: id(n),
  private_ip: `127.1.11.${n}`,
  availability_zone: "us-east-1a",
  agent_version: "1",
  role,
  mysql: { up: true, seen_ms_ago: 1, read_only: role === "replica", super_read_only: role === "replica" },
  highest_fence: 1,
  serves_writes: { ok: role === "primary", because: "it is no primary" },
  serves_reads: { ok: role === "replica", because: "it is no replica" },
  problems: [],
  ...change,
});

const record: TopologyRecord = {
  pk: "topology-lab-1",
  kind: "async",
  phase: "serving",
  instance_id: id(1),
  private_ip: "127.1.11.1",
  server_uuid: "00000000-0000-0000-0000-000000000001",
  fence: 4,
  formation: 1,
  timeline: 1,
  branch_gtid_set: "",
  ackers: [{ instance_id: id(2), incarnation: "x" }],
  wait_count: 1,
  rvn: "r",
  updated_at: "2026-11-21T00:00:00.000Z",
  reason: "formed",
};

const healthy: Seen = {
  nodes: [
    { node: node(1), agent: status(1, "primary") },
    { node: node(2), agent: status(2, "replica") },
    { node: node(3), agent: status(3, "replica") },
  ],
  record,
  writeTargets: [{ id: id(1), port: 3306, state: "in" }],
  readTargets: [2, 3].map((n) => ({ id: id(n), port: 3306, state: "in" as const })),
  lastBackup: { kind: "full", time: "2026-11-21T00-00-00Z", finishedAt: "2026-11-21T00:00:01Z", bytes: 1_500_000 },
};

const missing = (change: Partial<Seen>): readonly string[] => judged(1, cluster, { ...healthy, ...change }, []).missing;

/** The healthy nodes with one of them replaced. */
const withNode = (n: number, entry: Seen["nodes"][number]): Pick<Seen, "nodes"> => ({
  nodes: healthy.nodes.map((each, at) => (at === n - 1 ? entry : each)),
});

describe("the overview", () => {
  it("of a healthy cluster misses nothing", () => {
    const overview = judged(1, cluster, healthy, []);
    expect(overview.missing).toEqual([]);
    expect(overview.record).toMatchObject({ primary: "n1", ackers: ["n2"], fence: 4 });
    expect(overview.nodes.map(({ role, mysql, acker }) => [role, mysql, acker])).toEqual([
      ["primary", "writable", false],
      ["replica", "read-only", true],
      ["replica", "read-only", false],
    ]);
  });

  it.each<[string, Partial<Seen>, string]>([
    ["no record", { record: undefined }, "no topology record yet"],
    ["forming", { record: { ...record, phase: "forming" } }, "still forming"],
    ["too few ackers", { record: { ...record, ackers: [] } }, "1 ackers are wanted and 0 are listed"],
    ["a vanished primary", { record: { ...record, instance_id: id(9) } }, `primary ${id(9)} is not there`],
    ["a missing node", { nodes: healthy.nodes.slice(0, 2) }, "2 are there"],
    ["a node without power", withNode(3, { node: node(3, { power: "off" }), agent: "no" }), "n3: machine off"],
    ["a silent agent", withNode(2, { node: node(2), agent: "no answer" }), "n2: does not answer"],
    [
      "a node that still restores",
      withNode(2, {
        node: node(2, { units: { "percona-agent": "inactive", "percona-bootstrap": "activating" } }),
        agent: "no",
      }),
      "n2: bootstrap activating",
    ],
    [
      "a primary that does not serve",
      withNode(1, {
        node: node(1),
        agent: status(1, "primary", { serves_writes: { ok: false, because: "no acker is connected" } }),
      }),
      "n1: no acker is connected",
    ],
    [
      "a node that waits for its hook",
      withNode(2, { node: node(2, { lifecycle: "Pending:Wait" }), agent: status(2, "replica") }),
      "Pending:Wait",
    ],
    ["a primary out of its group", { writeTargets: [] }, "n1: out in the write group"],
    [
      "an old primary that is still in the write group",
      {
        writeTargets: [
          { id: id(1), port: 3306, state: "in" },
          { id: id(3), port: 3306, state: "unhealthy" },
        ],
      },
      "n3: unhealthy in the write group, and not the primary",
    ],
    [
      "an unhealthy reader",
      {
        readTargets: [
          { id: id(2), port: 3306, state: "unhealthy" },
          { id: id(3), port: 3306, state: "in" },
        ],
      },
      "n2: unhealthy in the read group",
    ],
  ])("names %s", (_, change, words) => {
    expect(missing(change).join("; ")).toContain(words);
  });

  it("wants everybody in the write group where every node forwards, and nobody who drains out of it", () => {
    const everybody = [1, 2, 3].map((n) => ({ id: id(n), port: 6446, state: "in" as const }));
    expect(missing({ writeTargets: everybody })).toEqual([]);
    expect(missing({ writeTargets: [...healthy.writeTargets, { id: id(2), port: 3306, state: "draining" }] })).toEqual(
      [],
    );
  });

  it("does not wait for a node that is being terminated", () => {
    const leaving = { node: node(4, { lifecycle: "Terminating:Wait", power: "off" as const }), agent: "no" };
    expect(missing({ nodes: [...healthy.nodes, leaving] })).toEqual([]);
  });

  it("is shown with everything that is wrong", () => {
    const problem = withNode(2, { node: node(2), agent: status(2, "replica", { problems: ["cannot tag"] }) });
    const overview = judged(1, cluster, { ...healthy, ...problem, writeTargets: [] }, ["backups: no bucket"]);
    const text = overviewText({ ...overview, observedAt: "" });
    for (const words of ["not healthy", "n2: cannot tag", "backups: no bucket", "full 2026-11-21T00-00-00Z, 1.5 MB"]) {
      expect(text).toContain(words);
    }
  });
});
