import { randomUUID } from "node:crypto";
import { request, type Server } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { agentCommandHeaders, agentCommandPath, agentNoncePath } from "#contract/agent-api.ts";
import { ports } from "#contract/ports.ts";
import { makeNonces } from "#node/lib/agent/nonces.ts";
import { startAgentServer } from "#node/lib/agent/server.ts";
import { makeAgentClient } from "#node/lib/agent-client/client.ts";
import { signCommand } from "#node/lib/agent-client/signature.ts";

const address = "127.99.1.1";
const key = "a-key-that-only-agents-know";
let clock = 0;
let highest = 5;
let obeyed: { body: unknown; fence: number }[] = [];
let server: Server;

const client = (withKey = key) =>
  makeAgentClient({ sourceAddress: "127.99.1.2", timeoutMs: 2000, key: async () => withKey });

/** One raw request, as somebody without the client would send it. */
const send = (
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = "",
): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const sent = request({ host: address, port: ports.agent, method, path, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });

const nonce = async (): Promise<string> => JSON.parse((await send("GET", agentNoncePath)).text).nonce;
const path = agentCommandPath("acknowledge");
const signedHeaders = (parts: { fence: number; nonce: string; body: string; method?: string; path?: string }) => ({
  [agentCommandHeaders.fence]: String(parts.fence),
  [agentCommandHeaders.nonce]: parts.nonce,
  [agentCommandHeaders.signature]: signCommand(key, { method: "POST", path, ...parts }),
});

beforeAll(async () => {
  const verdict = { ok: true, because: "test" };
  server = await startAgentServer({
    address,
    port: ports.agent,
    answers: {
      healthy: () => verdict,
      servesWrites: () => ({ ok: false, because: "not now" }),
      servesReads: (limit) => ({ ok: limit !== 1, because: `limit ${limit}` }),
      status: () => ({ schema: 1 }) as never,
    },
    handlers: {
      acknowledge: async (body, fence) => {
        obeyed.push({ body, fence });
        return { done: true };
      },
    },
    guard: {
      key: () => key,
      nonces: makeNonces({ now: () => clock, random: randomUUID, lifeMs: 1000, limit: 3 }),
      acceptFence: async (fence) => {
        if (fence < highest) return false;
        highest = fence;
        return true;
      },
    },
    onError: () => {},
  });
});
afterAll(() => void server.close());
beforeEach(() => {
  obeyed = [];
  highest = 5;
});

describe("commands between agents", () => {
  it("obeys a signed command and takes note of its fence", async () => {
    expect(await client().command(address, "acknowledge", 7, { rvn: "x" })).toEqual({ done: true });
    expect(obeyed).toEqual([{ body: { rvn: "x" }, fence: 7 }]);
    expect(highest).toBe(7);
  });

  it("refuses a fence below the highest that it has seen", async () => {
    await expect(client().command(address, "acknowledge", 4, {})).rejects.toMatchObject({ reason: "superseded" });
    expect(obeyed).toEqual([]);
  });

  it("refuses another key", async () => {
    await expect(client("another-key").command(address, "acknowledge", 7, {})).rejects.toThrow(/403/);
    expect(obeyed).toEqual([]);
  });

  it.each([
    ["another body", { body: '{"rvn":"other"}' }],
    ["another fence", { fence: 9 }],
    ["another path", { path: agentCommandPath("nudge") }],
  ])("refuses a signature over %s", async (_name, change) => {
    const parts = { fence: 7, nonce: await nonce(), body: '{"rvn":"x"}' };
    const headers = { ...signedHeaders({ ...parts, ...change }), [agentCommandHeaders.fence]: "7" };
    expect((await send("POST", path, headers, parts.body)).status).toBe(403);
    expect(obeyed).toEqual([]);
  });

  it("refuses a command that is sent a second time", async () => {
    const parts = { fence: 7, nonce: await nonce(), body: "{}" };
    expect((await send("POST", path, signedHeaders(parts), parts.body)).status).toBe(200);
    expect((await send("POST", path, signedHeaders(parts), parts.body)).status).toBe(403);
    expect(obeyed).toHaveLength(1);
  });

  it("refuses a nonce that it never gave, and one that is too old", async () => {
    expect((await send("POST", path, signedHeaders({ fence: 7, nonce: randomUUID(), body: "{}" }), "{}")).status).toBe(
      403,
    );
    const old = await nonce();
    clock += 1001;
    expect((await send("POST", path, signedHeaders({ fence: 7, nonce: old, body: "{}" }), "{}")).status).toBe(403);
    expect(obeyed).toEqual([]);
  });

  it("keeps only so many unused nonces, the newest", async () => {
    const given = [await nonce(), await nonce(), await nonce(), await nonce()];
    const answers = [];
    for (const one of [given[0], given[3]]) {
      answers.push((await send("POST", path, signedHeaders({ fence: 7, nonce: one ?? "", body: "{}" }), "{}")).status);
    }
    expect(answers).toEqual([403, 200]);
  });

  it("does not know commands that it has no handler for, and no other methods", async () => {
    expect((await send("POST", agentCommandPath("open"), {}, "{}")).status).toBe(404);
    expect((await send("DELETE", "/status")).status).toBe(405);
  });

  it("refuses a body that is too large", async () => {
    expect((await send("POST", path, {}, "x".repeat(70_000))).status).toBe(413);
  });
});

describe("open paths", () => {
  it.each([
    ["/health", 200],
    ["/primary", 503],
    ["/replica", 200],
    ["/replica?max-lag=1", 503],
    ["/replica?max-lag=nonsense", 200],
    ["/nothing", 404],
  ])("%s answers %i", async (path, status) => {
    expect((await send("GET", path)).status).toBe(status);
  });
});
