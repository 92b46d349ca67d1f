import fc from "fast-check";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { decideById, defaultOperationId, requestedBy } from "#actions/lib/operation/identity.ts";
import { OperationId, OperationState, SwitchoverInput } from "#contract/operation.ts";
import { B, C, created, hash } from "../../switchover/samples.ts";

const input = v.parse(SwitchoverInput, {});
const wanted = { kind: "switchover", input, schema: SwitchoverInput } as const;

describe("what is done about an operation id", () => {
  it.each([
    ["nobody has used it", undefined, "create"],
    ["the same is created", created, "attach"],
    ["the same is running", { ...created, state: "running" }, "attach"],
    ["the same has succeeded", { ...created, state: "succeeded" }, "answer"],
    ["the same was undone", { ...created, state: "undone" }, "again"],
    ["the same has failed", { ...created, state: "failed" }, "again"],
    ["the same was superseded", { ...created, state: "superseded" }, "again"],
    ["the same was aborted", { ...created, state: "aborted" }, "again"],
    ["it is a failover", { ...created, kind: "failover" }, "refuse"],
    ["it has another target", { ...created, input: { ...created.input, target: B } }, "refuse"],
    ["it has another limit", { ...created, input: { ...created.input, max_lag_seconds: 11 } }, "refuse"],
    ["it is forced", { ...created, input: { ...created.input, force: "accept-loss" } }, "refuse"],
    ["its input leaves out what has a default", { ...created, input: {} }, "attach"],
    ["its input cannot be read", { ...created, input: { target: "x" } }, "refuse"],
  ] as const)("when %s", (_, record, decision) => {
    expect(decideById(record, wanted).do).toBe(decision);
  });

  it("names what differs", () => {
    const record = { ...created, input: { ...created.input, target: B, timeout_seconds: 5 } };
    expect(decideById(record, { ...wanted, input: { ...input, target: C } })).toEqual({
      do: "refuse",
      because: "its input differs in target, timeout_seconds",
    });
  });

  const anyInput = fc
    .record(
      {
        target: fc.constantFrom(B, C),
        expected_primary: fc.constantFrom(B, C),
        expected_plan_hash: fc.constant(hash),
        max_lag_seconds: fc.integer({ min: 0, max: 3 }),
        force: fc.constant("accept-loss" as const),
      },
      { requiredKeys: [] },
    )
    .map((given) => v.parse(SwitchoverInput, given));

  it("is never a second beginning, and never another's record, whatever is there", () => {
    fc.assert(
      fc.property(fc.constantFrom(...OperationState.options), anyInput, anyInput, (state, there, asked) => {
        // As it is read back: without what is undefined.
        const record = { ...created, state, input: JSON.parse(JSON.stringify(there)) as Record<string, unknown> };
        const decision = decideById(record, { ...wanted, input: asked });
        const same = JSON.stringify(Object.entries(there).sort()) === JSON.stringify(Object.entries(asked).sort());
        const live = state === "created" || state === "running";
        expect(decision.do).toBe(!same ? "refuse" : live ? "attach" : state === "succeeded" ? "answer" : "again");
      }),
    );
  });
});

describe("the id of an operation without a given one", () => {
  const env = { GITHUB_RUN_ID: "4711", GITHUB_JOB: "apply", GITHUB_ACTION: "__infrahouse_percona-actions" };

  it("is the same for every attempt of a run", () => {
    const ids = ["1", "2"].map((GITHUB_RUN_ATTEMPT) =>
      defaultOperationId("switchover", { ...env, GITHUB_RUN_ATTEMPT }),
    );
    expect(ids).toEqual(Array(2).fill("switchover-4711-apply-__infrahouse_percona-actions"));
  });

  it.each([
    ["run", { GITHUB_RUN_ID: "4712" }],
    ["job", { GITHUB_JOB: "other" }],
    ["step", { GITHUB_ACTION: "__infrahouse_percona-actions_2" }],
  ])("is another for another %s", (_, change) => {
    expect(defaultOperationId("switchover", { ...env, ...change })).not.toBe(defaultOperationId("switchover", env));
  });

  it("is new each time outside GitHub", () => {
    expect(defaultOperationId("switchover", {}, () => "u-1")).toBe("switchover-u-1");
    expect(defaultOperationId("switchover", {})).not.toBe(defaultOperationId("switchover", {}));
  });

  it("is an operation id whatever the names, and keeps long names apart", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (job, action) => {
        const id = defaultOperationId("switchover", { ...env, GITHUB_JOB: job, GITHUB_ACTION: action });
        expect(v.is(OperationId, id), id).toBe(true);
      }),
    );
    const [one, two] = ["a", "b"].map((end) =>
      defaultOperationId("switchover", { ...env, GITHUB_JOB: "x".repeat(200) + end }),
    );
    expect(one).not.toBe(two);
  });
});

describe("who asked for it", () => {
  it("is the run's address and the person", () => {
    const env = {
      GITHUB_SERVER_URL: "https://github.com",
      GITHUB_REPOSITORY: "acme/databases",
      GITHUB_RUN_ID: "4711",
      GITHUB_ACTOR: "renovate[bot]",
    };
    expect(requestedBy(env)).toBe("https://github.com/acme/databases/actions/runs/4711 by renovate-bot-");
  });

  it("is text that the documents take, whatever the environment says", () => {
    fc.assert(
      fc.property(fc.string(), (USER) => {
        expect(requestedBy({ USER })).toMatch(/^[A-Za-z0-9][A-Za-z0-9 ._:/@#()-]{0,199}$/);
      }),
    );
  });
});
