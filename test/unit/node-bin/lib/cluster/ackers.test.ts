import { describe, expect, it } from "vitest";
import {
  type AckerView,
  decideAckers,
  enoughHold,
  type GtidSets,
  type PrimaryLog,
  type ReplicaView,
  reaches,
} from "#node/lib/cluster/ackers.ts";
import { n2, n3, record } from "./samples.ts";

/** Sets of this table are lists of letters. */
const letters: GtidSets = {
  contains: (set, part) => [...part].every((letter) => set.includes(letter)),
  union: (a, b) => a + b,
};
const end = { file: "mysql-bin.000003", offset: 500 };
const log: PrimaryLog = { executedSet: "abc", end };

const replica = (instanceId: string, change: Partial<ReplicaView> = {}): ReplicaView => ({
  instanceId,
  reachable: true,
  exists: true,
  goal: log,
  silentMs: 0,
  notReceivingMs: 0,
  incarnation: "inc-1",
  receiving: true,
  applying: true,
  receivedSet: "abc",
  executedSet: "abc",
  readPosition: end,
  acknowledging: false,
  ...change,
});
const listed = (...ids: string[]) => ids.map((instance_id) => ({ instance_id, incarnation: "inc-1" }));
const view = (change: Partial<AckerView>): AckerView => ({
  record: record({ ackers: listed(n2, n3) }),
  sourceSemiSyncOn: true,
  replicas: [replica(n2, { acknowledging: true }), replica(n3, { acknowledging: true })],
  refused: [],
  patienceMs: 8000,
  ...change,
});
const short = (v: AckerView): string => {
  const decision = decideAckers(v, letters);
  switch (decision.step) {
    case "list":
      return `list ${decision.acker.instance_id} ${decision.acker.incarnation}`;
    case "unlist":
      return `unlist ${decision.instanceId} ${decision.how}`;
    case "admit":
      return `admit ${decision.instanceId}`;
    default:
      return decision.step;
  }
};

const empty = record({ ackers: [] });
const forming = record({ phase: "forming", ackers: [] });
const situations: [string, Partial<AckerView>, string][] = [
  ["all is well", {}, "none"],
  [
    "first ackers: nobody holds everything yet, semi-sync off",
    { record: forming, sourceSemiSyncOn: false, replicas: [replica(n2, { executedSet: "ab" })] },
    "none",
  ],
  [
    "first ackers: enough hold everything, so semi-sync goes on before the list",
    { record: forming, sourceSemiSyncOn: false },
    "semi-sync-on",
  ],
  [
    "first ackers: received is not enough, executed counts",
    { record: empty, replicas: [replica(n2, { executedSet: "ab" })] },
    "none",
  ],
  ["first ackers: one that has executed all", { record: empty, replicas: [replica(n2)] }, `list ${n2} inc-1`],
  [
    "a later acker: received is enough",
    { record: record({ ackers: listed(n2) }), replicas: [replica(n2), replica(n3, { executedSet: "a" })] },
    `list ${n3} inc-1`,
  ],
  [
    "a later acker that has not received all",
    {
      record: record({ ackers: listed(n2) }),
      replicas: [replica(n2), replica(n3, { executedSet: "a", receivedSet: "b" })],
    },
    "none",
  ],
  [
    "a commit still waits for its acknowledgement: the executed set does not have it, the end of the log has",
    {
      record: record({ ackers: listed(n2) }),
      replicas: [replica(n2), replica(n3, { readPosition: { ...end, offset: 499 } })],
    },
    "none",
  ],
  [
    "a replica that never read from this primary",
    { record: record({ ackers: listed(n2) }), replicas: [replica(n2), replica(n3, { readPosition: undefined })] },
    "none",
  ],
  [
    "a listed acker restarted and holds everything: listed anew",
    { replicas: [replica(n2, { incarnation: "inc-2" }), replica(n3)] },
    `list ${n2} inc-2`,
  ],
  [
    "a listed acker restarted a moment ago: the log is read after its incarnation was seen, and was not read yet",
    { replicas: [replica(n2, { incarnation: "inc-2", goal: undefined }), replica(n3)] },
    "none",
  ],
  [
    "a listed acker restarted and lacks something",
    { replicas: [replica(n2, { incarnation: "inc-2", receivedSet: "ab", executedSet: "ab" }), replica(n3)] },
    "none",
  ],
  ["an applier that stands makes no acker", { record: empty, replicas: [replica(n2, { applying: false })] }, "none"],
  [
    "an acker is silent for a moment",
    { replicas: [replica(n2, { reachable: false, silentMs: 3000 }), replica(n3)] },
    "none",
  ],
  [
    "an acker is silent for long: it is refused, because it cannot be asked",
    { replicas: [replica(n2, { reachable: false, silentMs: 9000 }), replica(n3)] },
    `unlist ${n2} refuse`,
  ],
  ["an acker's instance is gone", { replicas: [replica(n3)] }, `unlist ${n2} refuse`],
  [
    "an acker does not receive for long: it is asked",
    { replicas: [replica(n2, { receiving: false, notReceivingMs: 9000 }), replica(n3)] },
    `unlist ${n2} ask`,
  ],
  [
    "the last acker is never taken off",
    { record: record({ ackers: listed(n2) }), replicas: [replica(n2, { reachable: false, silentMs: 99_000 })] },
    "none",
  ],
  [
    "five nodes: never below the wait count",
    {
      record: record({ ackers: listed(n2, n3), wait_count: 2 }),
      replicas: [replica(n2, { reachable: false, silentMs: 99_000 }), replica(n3)],
    },
    "none",
  ],
  ["a refused replica still acknowledges", { record: record({ ackers: listed(n3) }), refused: [n2] }, "none"],
  [
    "a refused replica confirmed that it does not acknowledge",
    { record: record({ ackers: listed(n3) }), refused: [n2], replicas: [replica(n2), replica(n3)] },
    `admit ${n2}`,
  ],
  [
    "a refused replica is back before it was taken off the list: it may acknowledge as before",
    { refused: [n2], replicas: [replica(n2, { acknowledging: true }), replica(n3)] },
    `admit ${n2}`,
  ],
  [
    "both ackers went away, one was refused, and only that one is back: it is let in, or commits would wait for ever",
    { refused: [n2], replicas: [replica(n2), replica(n3, { reachable: false, silentMs: 99_000 })] },
    `admit ${n2}`,
  ],
  [
    "a refused replica is not listed before it was let in",
    {
      record: record({ ackers: listed(n3) }),
      refused: [n2],
      replicas: [replica(n2, { acknowledging: true }), replica(n3)],
    },
    "none",
  ],
];

describe("who may acknowledge", () => {
  it.each(situations)("%s", (_name, change, expected) => {
    expect(short(view(change))).toBe(expected);
  });

  it("replaces the old incarnation and keeps the others", () => {
    const decision = decideAckers(view({ replicas: [replica(n2, { incarnation: "inc-2" }), replica(n3)] }), letters);
    expect(decision).toMatchObject({
      ackers: [
        { instance_id: n3, incarnation: "inc-1" },
        { instance_id: n2, incarnation: "inc-2" },
      ],
    });
  });

  it.each([
    ["all of the others hold it", [replica(n3)], true],
    ["a restarted one does not count", [replica(n3, { incarnation: "inc-2" })], false],
    ["a silent one does not count", [replica(n3, { reachable: false })], false],
    [
      "one that is behind in the log does not count",
      [replica(n3, { readPosition: { file: "mysql-bin.000002", offset: 9999 } })],
      false,
    ],
    ["nobody answers", [], false],
  ])("shrinking: %s", (_name, replicas, expected) => {
    expect(enoughHold(listed(n3), 1, log, replicas, letters)).toBe(expected);
  });

  it("compares places in the binlog by number, not by text", () => {
    expect(reaches({ file: "mysql-bin.1000000", offset: 4 }, { file: "mysql-bin.999999", offset: 800 })).toBe(true);
    expect(reaches({ file: "mysql-bin.000002", offset: 800 }, { file: "mysql-bin.000003", offset: 4 })).toBe(false);
  });
});
