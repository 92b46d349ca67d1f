import { describe, expect, it } from "vitest";
import { type BootstrapDecision, type BootstrapView, decideBootstrap } from "#node/lib/cluster/bootstrap-decision.ts";
import type { DataDirectory } from "#node/lib/cluster/data-directory.ts";
import { manifest, marker, n1, n2, record } from "./samples.ts";

const absent: DataDirectory = { kind: "absent" };
const foreign: DataDirectory = { kind: "foreign", because: "it has 3 entries and no marker" };
const ours = (change = {}): DataDirectory => ({ kind: "ours", marker: marker(change) });
const forming = record({ phase: "forming" });

const view = (change: Partial<BootstrapView>): BootstrapView => ({
  me: n2,
  clusterId: "c1",
  record: undefined,
  primaryLease: "live",
  data: absent,
  backup: undefined,
  anyHistory: false,
  flags: { initialiseEmpty: false, adopt: false },
  ...change,
});

/** The step, and where there is one its data source or failure reason. */
const short = (decision: BootstrapDecision): string => {
  switch (decision.step) {
    case "form":
    case "take-over":
      return `${decision.step} ${decision.data}`;
    case "refuse":
      return `refuse ${decision.reason}`;
    default:
      return decision.step;
  }
};

const situations: [string, Partial<BootstrapView>, string][] = [
  ["nothing at all: a new cluster", {}, "form initialise"],
  ["a record was lost and backups exist", { anyHistory: true }, "refuse existing-data"],
  ["a record was lost, and this node has data", { anyHistory: true, data: ours() }, "refuse existing-data"],
  [
    "an empty cluster was asked for over old backups",
    { anyHistory: true, flags: { initialiseEmpty: true, adopt: false } },
    "form initialise",
  ],
  [
    "an empty cluster was asked for, and this node has data of the old one",
    { anyHistory: true, data: ours(), flags: { initialiseEmpty: true, adopt: false } },
    "set-aside",
  ],
  [
    "the winner died between placing its data and recording itself",
    { data: ours({ origin: "initialised" }) },
    "form own",
  ],
  ["restored data without record and backup", { data: ours({ origin: "restored" }) }, "refuse existing-data"],
  ["a foreign data directory", { data: foreign }, "refuse foreign-data"],
  [
    "a foreign data directory to adopt",
    { data: foreign, flags: { initialiseEmpty: false, adopt: true } },
    "form adopt",
  ],

  ["another forms and has no backup yet", { record: forming }, "wait"],
  ["another forms, and nobody knows yet whether it is alive", { record: forming, primaryLease: "watching" }, "wait"],
  ["another forms and its backup is there", { record: forming, backup: manifest }, "restore"],
  ["another forms and this node has its data", { record: forming, data: ours() }, "join"],
  ["another died while forming, before its backup", { record: forming, primaryLease: "stale" }, "take-over initialise"],
  [
    "another died while forming, after its backup",
    { record: forming, primaryLease: "stale", backup: manifest },
    "restore",
  ],
  [
    "another died while forming, and this node has its data",
    { record: forming, primaryLease: "stale", data: ours() },
    "take-over own",
  ],
  ["a displaced winner returns", { record: forming, data: ours({ formation: 2, origin: "initialised" }) }, "set-aside"],
  [
    "a displaced winner returns when the new one is dead too",
    { record: forming, primaryLease: "stale", data: ours({ formation: 2 }) },
    "set-aside",
  ],

  ["a new node in a serving cluster", { record: record(), backup: manifest }, "restore"],
  [
    "a new node in a serving cluster whose primary is dead",
    { record: record(), backup: manifest, primaryLease: "stale" },
    "restore",
  ],
  ["a new node in a serving cluster without a backup", { record: record() }, "refuse no-backup"],
  ["a node with its data in a serving cluster", { record: record(), data: ours() }, "join"],
  [
    "a stale lease never moves a serving primary from here",
    { record: record(), data: ours(), primaryLease: "stale" },
    "join",
  ],
  [
    "data of an abandoned formation in a serving cluster",
    { record: record(), data: ours({ formation: 1 }) },
    "set-aside",
  ],
  ["a foreign data directory in a serving cluster", { record: record(), data: foreign }, "refuse foreign-data"],
  [
    "a foreign one to adopt in a serving cluster",
    { record: record(), data: foreign, flags: { initialiseEmpty: false, adopt: true } },
    "adopt",
  ],

  ["the recorded primary boots with its data", { me: n1, record: record(), data: ours() }, "lead"],
  [
    "the recorded primary goes on forming after a crash",
    { me: n1, record: forming, data: ours({ origin: "initialised" }) },
    "lead",
  ],
  ["the recorded primary of a serving cluster has lost its data", { me: n1, record: record() }, "wait"],
  [
    "the recorded primary of a serving cluster has lost its data, and a backup exists",
    { me: n1, record: record(), backup: manifest },
    "wait",
  ],
  ["the recorded primary lost its data while forming", { me: n1, record: forming }, "take-over initialise"],
  [
    "the recorded primary lost its data while forming, after its backup",
    { me: n1, record: forming, backup: manifest },
    "restore",
  ],
  [
    "the recorded primary has data of an older formation",
    { me: n1, record: forming, data: ours({ formation: 1 }) },
    "set-aside",
  ],
];

describe("what a booting node does next", () => {
  it.each(situations)("%s", (_name, change, expected) => {
    expect(short(decideBootstrap(view(change)))).toBe(expected);
  });

  it("never initialises anything empty while there is a serving record, whatever else is true", () => {
    for (const data of [absent, foreign, ours(), ours({ formation: 1 })]) {
      for (const primaryLease of ["live", "watching", "stale"] as const) {
        for (const backup of [undefined, manifest]) {
          for (const me of [n1, n2]) {
            for (const initialiseEmpty of [false, true]) {
              const decision = decideBootstrap(
                view({
                  me,
                  record: record(),
                  data,
                  primaryLease,
                  backup,
                  anyHistory: true,
                  flags: { initialiseEmpty, adopt: true },
                }),
              );
              expect(["form", "take-over"]).not.toContain(decision.step);
            }
          }
        }
      }
    }
  });
});
