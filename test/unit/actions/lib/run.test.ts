import { describe, expect, it } from "vitest";
import { run } from "#actions/lib/run.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { fakeRunner } from "./fake-runner.ts";

const switchover = { title: "Switchover" };

describe("run", () => {
  it("ends well with an empty failure reason", async () => {
    const runner = fakeRunner();
    await run(switchover, async () => {}, runner, {});
    expect(runner.outputs).toEqual({ "failure-reason": "" });
    expect([runner.exitCode, runner.errors, runner.summaries]).toEqual([0, [], []]);
  });

  it("turns a failure into one annotation, the output, a summary and exit code 1", async () => {
    const runner = fakeRunner();
    const failure = new Failure("lag-too-high", { message: "i-1 is 90 s behind, 30 s are allowed." });
    await run(switchover, () => Promise.reject(failure), runner, {});
    expect(runner.outputs).toEqual({ "failure-reason": "lag-too-high" });
    expect(runner.exitCode).toBe(1);
    expect(runner.errors).toEqual([
      {
        title: "Switchover: lag-too-high",
        message:
          "i-1 is 90 s behind, 30 s are allowed. Nothing was changed. Wait for it to catch up, or raise the limit. Running it again is safe.",
      },
    ]);
    expect(runner.summaries.join()).toMatch(/^## 🔴 Switchover failed: lag-too-high\n\ni-1 is 90 s behind/);
    expect(runner.echoed).toEqual([]);
  });

  it("leaves the summary to the action that wrote one", async () => {
    const runner = fakeRunner();
    await run(
      switchover,
      async ({ runner: given }) => {
        await given.summary("all of it");
        throw new Failure("cluster-unhealthy", { message: "x" });
      },
      runner,
      {},
    );
    expect(runner.summaries).toEqual(["all of it"]);
  });

  it("calls an error without a reason internal, and shows its stack only to who debugs", async () => {
    const broken = () => Promise.reject(new TypeError("x is not a function", { cause: new Error("deeper") }));
    const [quiet, debugging] = [fakeRunner(), fakeRunner({}, true)];
    await run(switchover, broken, quiet, {});
    await run(switchover, broken, debugging, {});
    expect(quiet.outputs).toEqual({ "failure-reason": "internal" });
    expect(quiet.errors[0]?.message).toContain("x is not a function");
    expect(JSON.stringify([quiet.errors, quiet.summaries, quiet.lines])).not.toContain("run.test.ts");
    expect(quiet.echoed).toEqual([]);
    expect(debugging.echoed.join()).toMatch(/run\.test\.ts[\s\S]*Caused by: Error: deeper/);
  });

  it("says of an action that only reads that nothing was changed, whatever the reason", async () => {
    const runner = fakeRunner();
    await run({ title: "Status", readOnly: true }, () => Promise.reject(new Error("odd")), runner, {});
    expect(runner.errors[0]?.message).toContain("Nothing was changed: this action only reads.");
    expect(runner.errors[0]?.message).not.toContain("Unknown");
  });

  it("aborts the action when the run is cancelled", async () => {
    const runner = fakeRunner();
    await run(
      switchover,
      async ({ signal }) => {
        process.emit("SIGTERM", "SIGTERM");
        signal.throwIfAborted();
      },
      runner,
      {},
    );
    expect(runner.outputs).toEqual({ "failure-reason": "interrupted" });
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });
});
