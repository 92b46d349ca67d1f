import { describe, expect, it } from "vitest";
import { hookAction } from "#node/lib/orchestrator/hook-action.ts";
import { type HookName, readHookEvent } from "#node/lib/orchestrator/hook-event.ts";
import { type hookRecordings, recordedHooks } from "./recordings.ts";

/** What is done about each recorded event, in short. */
const actions = (situation: (typeof hookRecordings)[number]): string[] =>
  recordedHooks(situation).map(({ hook, env }) => {
    const action = hookAction(readHookEvent(hook, env));
    const what = "body" in action ? ` ${JSON.stringify(action.body)}` : "";
    return `${hook} -> ${action.do}${what}`;
  });

const crash = recordedHooks("crash").find(({ hook }) => hook === "PreFailover")?.env ?? {};
const graceful = recordedHooks("graceful").find(({ hook }) => hook === "PreFailover")?.env ?? {};
const uid = crash.ORC_RECOVERY_UID ?? "";

const of = (name: HookName, env: Readonly<Record<string, string>>) => hookAction(readHookEvent(name, env));

describe("what is done about recorded events", () => {
  it("a crash: asks before, tells after, under one uid", () => {
    expect(actions("crash")).toEqual([
      "OnFailureDetection -> log",
      "OnFailureDetection -> log",
      `PreFailover -> attempt {"uid":"${uid}","failed_host":"127.0.0.12"}`,
      `PostMasterFailover -> conclude {"uid":"${uid}","successful":true,"successor_host":"127.0.0.13"}`,
      `PostFailover -> conclude {"uid":"${uid}","successful":true,"successor_host":"127.0.0.13"}`,
    ]);
  });

  it("a graceful takeover: is vetoed before the primary is made read-only, and once more after that", () => {
    expect(actions("graceful")).toEqual([
      "PreGracefulTakeover -> veto",
      "OnFailureDetection -> log",
      "PreFailover -> veto",
      "PostMasterFailover -> log",
      "PostFailover -> log",
      "PostGracefulTakeover -> log",
    ]);
  });

  it("two recoveries at once: each is asked and told under its own uid, and a locked semi-sync primary is nobody's death", () => {
    const [first, second] = recordedHooks("unsuccessful")
      .filter(({ hook }) => hook === "PreFailover")
      .map(({ env }) => env.ORC_RECOVERY_UID);
    expect(first).not.toBe(second);
    expect(actions("unsuccessful")).toEqual([
      "OnFailureDetection -> log",
      "OnFailureDetection -> log",
      `PreFailover -> attempt {"uid":"${first}","failed_host":"127.0.0.11"}`,
      `PreFailover -> attempt {"uid":"${second}","failed_host":"127.0.0.11"}`,
      `PostMasterFailover -> conclude {"uid":"${first}","successful":true,"successor_host":"127.0.0.13"}`,
      `PostFailover -> conclude {"uid":"${first}","successful":true,"successor_host":"127.0.0.13"}`,
      `PostUnsuccessfulFailover -> conclude {"uid":"${second}","successful":false}`,
      "OnFailureDetection -> log",
    ]);
  });

  it("the veto of a takeover names what to do instead", () => {
    expect(of("PreGracefulTakeover", { ...graceful, ORC_RECOVERY_UID: "" })).toMatchObject({
      do: "veto",
      because: expect.stringContaining("switchover action"),
    });
  });
});

describe("what is never allowed in PreFailover", () => {
  it.each([
    ["a takeover asked for", { ORC_COMMAND: "graceful-master-takeover-auto" }],
    ["a failover forced by hand", { ORC_COMMAND: "force-master-failover" }],
    ["a takeover forced by hand", { ORC_COMMAND: "force-master-takeover" }],
    ["an intermediate primary", { ORC_FAILURE_TYPE: "DeadIntermediateMaster" }],
    ["a primary that is read-only on purpose", { ORC_FAILURE_TYPE: "NoWriteableMasterStructureWarning" }],
    ["a primary that waits for acknowledgements", { ORC_FAILURE_TYPE: "LockedSemiSyncMaster" }],
    ["a co-primary", { ORC_FAILURE_TYPE: "DeadCoMaster" }],
    ["a recovery without a uid", { ORC_RECOVERY_UID: "" }],
  ])("%s", (_, change) => {
    expect(of("PreFailover", { ...crash, ...change })).toMatchObject({ do: "veto" });
  });

  it("some replicas gone together with the primary are no reason against", () => {
    expect(of("PreFailover", { ...crash, ORC_FAILURE_TYPE: "DeadMasterAndSomeReplicas" })).toMatchObject({
      do: "attempt",
    });
  });
});
