import { describe, expect, it } from "vitest";
import type { OperationRecord } from "#contract/operation.ts";
import { byIdCommand, type OperationCommands, switchoverCommand } from "#node/lib/operation/commands.ts";
import { fakeJournal, plan } from "./fake-journal.ts";

const n2 = "i-00000000000000002";
const at = "2026-11-21T00:00:05.000Z";

const setup = (variables: Record<string, string>) => {
  const fake = fakeJournal();
  const started: string[] = [];
  const planned: [unknown, string][] = [];
  const commands: OperationCommands = {
    journal: fake.journal,
    plan: async (input, id) => {
      planned.push([input, id]);
      return plan();
    },
    start: async (id) => {
      started.push(id);
      return `percona-operation-${id}`;
    },
    now: () => new Date(at),
    env: Object.fromEntries(Object.entries(variables).map(([name, value]) => [`SSM_${name}`, value])),
  };
  return { ...fake, commands, started, planned };
};

describe("the switchover document asked for a plan", () => {
  it("gives the defaults, begins nothing and writes nothing", async () => {
    const { commands, planned, started, store } = setup({ Mode: "plan", OperationId: "op-1" });
    expect(await switchoverCommand(commands)).toEqual(plan());
    expect(planned).toEqual([[{ max_lag_seconds: 10, max_transaction_age_seconds: 60, timeout_seconds: 60 }, "op-1"]]);
    expect(started).toEqual([]);
    expect(store.items.size).toBe(0);
  });

  it("is what happens when nobody says what", async () => {
    const { commands, planned, started } = setup({});
    await switchoverCommand(commands);
    expect([planned.length, started.length]).toEqual([1, 0]);
  });

  it("takes every parameter; a hyphen and an empty text are none", async () => {
    const { commands, planned } = setup({
      Mode: "plan",
      OperationId: "-",
      Target: n2,
      ExpectedPrimary: "",
      MaxLagSeconds: "0",
      MaxTransactionAgeSeconds: "5.5",
      TimeoutSeconds: "30",
      Force: "accept-loss",
    });
    await switchoverCommand(commands);
    expect(planned).toEqual([
      [
        {
          target: n2,
          max_lag_seconds: 0,
          max_transaction_age_seconds: 5.5,
          timeout_seconds: 30,
          force: "accept-loss",
        },
        "",
      ],
    ]);
  });

  it.each([
    ["a target that is no instance", { Target: "db-1" }, /target/],
    ["a lag that is no number", { MaxLagSeconds: "ten" }, /max_lag_seconds/],
    ["a lag below nothing", { MaxLagSeconds: "-1" }, /max_lag_seconds/],
    ["a timeout of nothing", { TimeoutSeconds: "0" }, /timeout_seconds/],
    ["a force of another word", { Force: "yes" }, /force/],
  ])("refuses %s, and names it", async (_name, variables, named) => {
    const { commands, planned } = setup({ Mode: "plan", ...variables });
    await expect(switchoverCommand(commands)).rejects.toMatchObject({
      reason: "bad-input",
      message: expect.stringMatching(named),
    });
    expect(planned).toEqual([]);
  });
});

describe("the switchover document asked to apply", () => {
  it("starts the recorded operation, and answers its unit", async () => {
    const { commands, created, started } = setup({ Mode: "apply", OperationId: "op-1" });
    await created();
    expect(await switchoverCommand(commands)).toEqual({
      operation_id: "op-1",
      state: "created",
      unit: "percona-operation-op-1",
    });
    expect(started).toEqual(["op-1"]);
  });

  it("starts one that runs already again: the unit is there once", async () => {
    const { commands, created, started } = setup({ Mode: "apply", OperationId: "op-1" });
    await created({ state: "running" });
    await switchoverCommand(commands);
    expect(started).toEqual(["op-1"]);
  });

  it("does not start one that has ended, and answers how", async () => {
    const { commands, created, started } = setup({ Mode: "apply", OperationId: "op-1" });
    await created({ state: "undone" });
    expect(await switchoverCommand(commands)).toEqual({ operation_id: "op-1", state: "undone", unit: "" });
    expect(started).toEqual([]);
  });

  it.each([
    ["an id that nobody recorded", { OperationId: "op-9" }, "unknown-operation"],
    ["no id", {}, "bad-input"],
    ["an id that would be an option", { OperationId: "-rf" }, "bad-input"],
    ["an id that would leave its key", { OperationId: "a/../b" }, "bad-input"],
  ])("refuses %s", async (_name, variables, reason) => {
    const { commands, started } = setup({ Mode: "apply", ...variables });
    await expect(switchoverCommand(commands)).rejects.toMatchObject({ reason });
    expect(started).toEqual([]);
  });
});

describe("the document for an operation by its id", () => {
  it("writes the request to end it, with who asks, and has somebody look", async () => {
    const { commands, created, others, started } = setup({ Mode: "abort", OperationId: "op-1", RequestedBy: "run 7" });
    await created({ state: "running" });
    expect(await byIdCommand(commands)).toMatchObject({ abort_requested_at: at, abort_requested_by: "run 7" });
    expect(await others.read("op-1")).toMatchObject({ state: "running", abort_requested_by: "run 7" });
    expect(started).toEqual(["op-1"]);
  });

  it("asked twice, the first one stays", async () => {
    const { commands, created, others } = setup({ Mode: "abort", OperationId: "op-1", RequestedBy: "run 8" });
    await created({ state: "running", abort_requested_at: "2026-11-21T00:00:01.000Z", abort_requested_by: "run 7" });
    await byIdCommand(commands);
    expect(await others.read("op-1")).toMatchObject({ abort_requested_by: "run 7" });
  });

  it("writes it on top of what the runner wrote at the same moment", async () => {
    const { commands, created, others } = setup({ Mode: "abort", OperationId: "op-1" });
    let record: OperationRecord = await created({ state: "running" });
    let races = 3;
    const racing: OperationCommands = {
      ...commands,
      journal: {
        ...commands.journal,
        replace: async (read, changes) => {
          if (races-- > 0) {
            const written = await others.replace(record, { topology_fence: races });
            if (written.written) record = written.record;
          }
          return commands.journal.replace(read, changes);
        },
      },
    };
    await byIdCommand(racing);
    expect(await others.read("op-1")).toMatchObject({ abort_requested_by: "a person", topology_fence: 0 });
  });

  it("does not ask one to end that ended in the meantime", async () => {
    const { commands, created, others } = setup({ Mode: "abort", OperationId: "op-1" });
    const record = await created({ state: "running" });
    const racing: OperationCommands = {
      ...commands,
      journal: {
        ...commands.journal,
        replace: async (read, changes) => {
          await others.replace(record, { state: "succeeded" });
          return commands.journal.replace(read, changes);
        },
      },
    };
    expect(await byIdCommand(racing)).toMatchObject({ state: "succeeded" });
    expect((await others.read("op-1"))?.abort_requested_at).toBeUndefined();
  });

  it("takes up one whose runner died, without asking it to end", async () => {
    const { commands, created, others, started } = setup({ Mode: "resume", OperationId: "op-1" });
    await created({ state: "running" });
    await byIdCommand(commands);
    expect(started).toEqual(["op-1"]);
    expect((await others.read("op-1"))?.abort_requested_at).toBeUndefined();
  });

  it.each(["abort", "resume"])("%s of one that has ended answers how it ended and touches nothing", async (mode) => {
    const { commands, created, others, started } = setup({ Mode: mode, OperationId: "op-1" });
    const ended = await created({ state: "succeeded" });
    expect(await byIdCommand(commands)).toEqual(ended);
    expect(started).toEqual([]);
    expect(await others.read("op-1")).toEqual(ended);
  });

  it.each([
    ["an id that nobody recorded", { Mode: "abort", OperationId: "op-9" }, "unknown-operation"],
    ["another mode", { Mode: "delete", OperationId: "op-1" }, "bad-input"],
    ["no mode", { OperationId: "op-1" }, "bad-input"],
    ["no id", { Mode: "abort" }, "bad-input"],
  ])("refuses %s", async (_name, variables, reason) => {
    const { commands, created, started } = setup(variables);
    await created();
    await expect(byIdCommand(commands)).rejects.toMatchObject({ reason });
    expect(started).toEqual([]);
  });
});
