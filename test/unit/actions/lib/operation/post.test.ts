import { describe, expect, it } from "vitest";
import { keepTold, keepWatched, tellWatched } from "#actions/lib/operation/post.ts";
import { run } from "#actions/lib/run.ts";
import { fakeRunner } from "../fake-runner.ts";

const identity = { title: "Switchover", post: tellWatched };
const name = { clusterId: "orders", operationId: "op-1" };

/** The post script of the same step: another process with the kept state. */
const postOf = async (main: ReturnType<typeof fakeRunner>) => {
  const runner = fakeRunner();
  Object.assign(runner.kept, main.kept);
  await run(identity, () => Promise.reject(new Error("must not be run again")), runner, {});
  return runner;
};

describe("the post script", () => {
  it("says that the operation goes on when the run was killed while it watched", async () => {
    const killed = fakeRunner();
    void run(
      identity,
      async ({ runner }) => {
        keepWatched(runner, name);
        await new Promise(() => undefined);
      },
      killed,
      {},
    );
    const runner = await postOf(killed);
    expect(runner.warnings).toEqual([
      {
        title: "The operation goes on",
        message: expect.stringContaining("with cluster-id orders, operation-id op-1 and mode attach"),
      },
    ]);
    expect(runner.summaries.join()).toMatch(/^## 🔵 <code>op-1<\/code> goes on[\s\S]* {2}mode: attach/);
    expect([runner.exitCode, runner.outputs]).toEqual([0, {}]);
  });

  it.each([
    ["nothing was begun", async () => undefined],
    [
      "the main script has told the end",
      async (runner: ReturnType<typeof fakeRunner>) => {
        keepWatched(runner, name);
        keepTold(runner);
      },
    ],
  ])("says nothing when %s", async (_, main) => {
    const ended = fakeRunner();
    await run(identity, () => main(ended), ended, {});
    const runner = await postOf(ended);
    expect([runner.warnings, runner.summaries, runner.outputs]).toEqual([[], [], {}]);
  });
});
