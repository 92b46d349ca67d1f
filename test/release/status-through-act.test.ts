import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ActInstall, ensureAct, reportLines } from "#lab/cache/index.ts";
import { assembleRelease } from "../../.ci/assemble-release.ts";
import { fakeAws } from "./fake-aws.ts";
import { runThroughAct } from "./run-act.ts";

const workflow = `
name: Status
on: workflow_dispatch
jobs:
  status:
    runs-on: ubuntu-latest
    outputs:
      reason: \${{ steps.status.outputs.failure-reason }}
    steps:
      - id: status
        continue-on-error: true
        uses: infrahouse/percona-actions@v1
        with:
          cluster-id: orders
  after:
    needs: status
    runs-on: ubuntu-latest
    steps:
      - id: echo
        env:
          REASON: \${{ needs.status.outputs.reason }}
        run: echo "reason $REASON"
`;

let work: string;
let act: ActInstall;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "percona-act-test-"));
  act = await ensureAct(reportLines((line) => console.log(line)));
});

afterAll(() => rm(work, { recursive: true, force: true }));

describe("the status action in a workflow, through act", () => {
  it("is found as infrahouse/percona-actions@v1, and hands its failure reason to the next job", async ({ skip }) => {
    if (!act.available) {
      console.warn(`SKIPPED: ${act.how}`);
      skip(act.how);
      return;
    }
    const tree = await assembleRelease({ into: join(work, "tree") });
    const aws = await fakeAws();
    try {
      const run = await runThroughAct({ act: act.act, tree: tree.directory, workflow, env: aws.env });
      const [status] = run.steps.filter(({ id }) => id === "status");
      expect(status, run.log).toMatchObject({ result: "failure", outputs: { "failure-reason": "unknown-cluster" } });
      expect(status?.summary).toMatch(/^## 🔴 Status failed: unknown-cluster/);
      expect(status?.annotations).toMatchObject([{ level: "error", title: "Status: unknown-cluster" }]);
      expect(run.jobs).toEqual({ status: "success", after: "success" });
      expect(run.steps.find(({ id }) => id === "echo")?.log).toBe("reason unknown-cluster\n");
      expect(run.exitCode).toBe(0);
    } finally {
      await aws.close();
    }
  });
});
