import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AgentCommandName } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import { makeNonces } from "#node/lib/agent/nonces.ts";
import { type CommandHandler, startAgentServer } from "#node/lib/agent/server.ts";
import { monotonicMs } from "#node/lib/host/wait.ts";
import { credentials } from "../mysql/cluster-of-servers.ts";
import { hookScript } from "./hook-script.ts";

const address = "127.98.0.41";
const highestFence = 17;
let folder: string;
let script: Awaited<ReturnType<typeof hookScript>>;
let agent: Server | undefined;
let told: { name: AgentCommandName; body: unknown; fence: number }[];

interface Recorded {
  readonly hook: string;
  readonly env: Readonly<Record<string, string>>;
}

const recorded = async (situation: string): Promise<Recorded[]> =>
  JSON.parse(await readFile(new URL(`../../fixtures/orchestrator/hooks-${situation}.json`, import.meta.url), "utf8"));

/** Runs the script for the first recorded event of this name. */
const run = async (situation: string, hook: string, change: Readonly<Record<string, string>> = {}) => {
  const found = (await recorded(situation)).find((each) => each.hook === hook);
  return script.run(hook, { ...found?.env, ...change });
};

/** Starts the node's agent, which answers `attempt` like this. */
const startAgent = async (attempt: () => unknown): Promise<void> => {
  const handler =
    (name: AgentCommandName, answer: () => unknown): CommandHandler =>
    async (body, fence) => {
      told.push({ name, body, fence });
      return answer();
    };
  const verdict = { ok: true, because: "test" };
  agent = await startAgentServer({
    address,
    port: ports.agent,
    answers: {
      healthy: () => verdict,
      servesWrites: () => verdict,
      servesReads: () => verdict,
      status: () => ({ schema: 1 }) as never,
    },
    handlers: { attempt: handler("attempt", attempt), conclude: handler("conclude", () => ({})) },
    guard: {
      key: () => credentials.agent,
      nonces: makeNonces({ now: monotonicMs, random: randomUUID, lifeMs: 1000, limit: 3 }),
      acceptFence: async (fence) => fence >= highestFence,
    },
    onError: () => {},
  });
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "orchestrator-hook-"));
  script = await hookScript({ address, folder, credentials, highestFence });
});
afterAll(async () => {
  script.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  told = [];
});
afterEach(async () => {
  agent?.closeAllConnections();
  if (agent) await once(agent.close(), "close");
  agent = undefined;
});

const successor = { successful: true, successor_host: "127.0.0.13" };

describe("Orchestrator calls its hook", () => {
  it("before a failover that the agent allows: it goes on, under the highest fence that the node has seen", async () => {
    await startAgent(() => ({ allowed: true, because: "two of two ackers are frozen" }));
    expect(await run("crash", "PreFailover")).toMatchObject({
      exitCode: 0,
      log: expect.stringContaining("two of two ackers are frozen"),
    });
    expect(told).toEqual([
      {
        name: "attempt",
        fence: highestFence,
        body: { uid: expect.stringMatching(/^\d+:[0-9a-f]{64}$/), failed_host: "127.0.0.12" },
      },
    ]);
  });

  it.each<[string, () => unknown, string]>([
    ["refuses", () => ({ allowed: false, because: "127.0.0.11 is not frozen" }), "127.0.0.11 is not frozen"],
    ["answers nonsense", () => ({ yes: "please" }), "allowed"],
    [
      "fails",
      () => {
        throw new Error("the lock is held");
      },
      "the lock is held",
    ],
  ])("before a failover, and the agent %s: vetoed", async (_, attempt, words) => {
    await startAgent(attempt);
    expect(await run("crash", "PreFailover")).toMatchObject({ exitCode: 1, log: expect.stringContaining(words) });
  });

  it("before a failover, and the agent is not there: vetoed", async () => {
    expect(await run("crash", "PreFailover")).toMatchObject({
      exitCode: 1,
      log: expect.stringContaining(`${address}:${ports.agent} did not answer`),
    });
  });

  it("after a failover, twice: the agent is told twice, under the same uid", async () => {
    await startAgent(() => ({ allowed: true, because: "" }));
    const uid = (await recorded("crash")).at(-1)?.env.ORC_RECOVERY_UID;
    for (const hook of ["PostMasterFailover", "PostFailover", "PostFailover"]) {
      expect(await run("crash", hook)).toMatchObject({ exitCode: 0 });
    }
    expect(told.map(({ name, body }) => ({ name, body }))).toEqual(
      [1, 2, 3].map(() => ({ name: "conclude", body: { uid, ...successor } })),
    );
  });

  it("after an unsuccessful failover: the agent is told", async () => {
    await startAgent(() => ({ allowed: true, because: "" }));
    expect(await run("unsuccessful", "PostUnsuccessfulFailover")).toMatchObject({ exitCode: 0 });
    expect(told).toMatchObject([{ name: "conclude", body: { successful: false } }]);
  });

  it("somebody asks Orchestrator for a takeover: vetoed, with what to use instead, and the agent is not asked", async () => {
    await startAgent(() => ({ allowed: true, because: "" }));
    for (const hook of ["PreGracefulTakeover", "PreFailover"]) {
      expect(await run("graceful", hook)).toMatchObject({
        exitCode: 1,
        log: expect.stringContaining("switchover action"),
      });
    }
    expect(told).toEqual([]);
  });

  it("a detection never fails, whatever is wrong with it: an error would keep Orchestrator from the recovery", async () => {
    expect(await run("crash", "OnFailureDetection")).toMatchObject({ exitCode: 0 });
    expect(await run("crash", "OnFailureDetection", { ORC_FAILED_HOST: "?" })).toMatchObject({
      exitCode: 0,
      log: expect.stringContaining("ORC_FAILED_HOST"),
    });
    expect(await run("crash", "PreFailover", { ORC_FAILED_HOST: "?" })).toMatchObject({ exitCode: 1 });
  });

  it("no secret gets into its log", async () => {
    await startAgent(() => ({ allowed: false, because: "no" }));
    const { log } = await run("crash", "PreFailover");
    expect(log).not.toBe("");
    for (const secret of Object.values(credentials)) expect(log).not.toContain(secret);
  });
});
