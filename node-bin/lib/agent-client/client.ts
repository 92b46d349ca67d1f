import { Agent, request } from "node:http";
import { text as textOf } from "node:stream/consumers";
import * as v from "valibot";
import {
  type AgentCommandName,
  agentCommandHeaders,
  agentCommandPath,
  agentNoncePath,
  agentPaths,
  NodeStatus,
} from "#contract/agent-api.ts";
import { Failure, FailureReport, messageOf } from "#contract/failure-reasons.ts";
import { ports } from "#contract/ports.ts";
import { monotonicMs } from "../host/wait.ts";
import { signCommand } from "./signature.ts";

/** Talks to the agents of other nodes. */
export interface AgentClient {
  /** What the agent at this address says. Errors: `node-unreachable`. */
  status(address: string, options?: { readonly timeoutMs?: number }): Promise<NodeStatus>;
  /**
   * Sends a signed command under a fence. Errors: `node-unreachable`; `superseded` when the agent has seen a higher fence; what the
   * agent itself failed with.
   */
  command(
    address: string,
    name: AgentCommandName,
    fence: number,
    body: unknown,
    options?: { readonly timeoutMs?: number },
  ): Promise<unknown>;
  /** Fetches what the next command to this agent needs, so that it takes one round trip less. Never fails. */
  prepare(address: string): Promise<void>;
}

/** A nonce that was fetched in advance is used for at most this long, milliseconds; agents forget them after 10 s. */
const nonceUsableMs = 5000;

interface Reply {
  readonly status: number;
  readonly text: string;
}

/** A client whose connections come from the node's own address and give up after `timeoutMs`. */
export const makeAgentClient = (options: {
  readonly sourceAddress: string;
  readonly timeoutMs: number;
  readonly key: () => Promise<string>;
}): AgentClient => {
  const connections = new Agent({ keepAlive: true, maxSockets: 4, localAddress: options.sourceAddress });
  const call = (
    address: string,
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string,
    timeoutMs = options.timeoutMs,
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const fail = (cause: unknown): void =>
        reject(
          new Failure("node-unreachable", {
            message: `The agent at ${address}:${ports.agent} did not answer ${method} ${path}: ${messageOf(cause)}.`,
            cause,
          }),
        );
      const sent = request(
        {
          host: address,
          port: ports.agent,
          method,
          path,
          headers: { ...headers, "content-length": Buffer.byteLength(body) },
          agent: connections,
        },
        (response) => {
          textOf(response).then((text) => resolve({ status: response.statusCode ?? 0, text }), fail);
        },
      );
      // Ended with the call: a signal's own timer would wake an agent at rest once more for each.
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      sent.on("close", () => clearTimeout(timer));
      sent.on("error", fail);
      sent.end(body);
    });
  const get = async (address: string, path: string, timeoutMs?: number): Promise<unknown> => {
    const reply = await call(address, "GET", path, {}, "", timeoutMs);
    if (reply.status !== 200) {
      throw new Failure("node-unreachable", {
        message: `The agent at ${address} answered ${path} with ${reply.status}: ${reply.text.trim()}.`,
      });
    }
    return JSON.parse(reply.text);
  };
  const askNonce = async (address: string): Promise<string> =>
    v.parse(v.object({ nonce: v.string() }), await get(address, agentNoncePath)).nonce;
  /** A nonce for the next command to each agent. */
  const ready = new Map<string, { readonly nonce: string; readonly at: number }>();
  const nonceFor = async (address: string): Promise<{ readonly nonce: string; readonly fresh: boolean }> => {
    const kept = ready.get(address);
    ready.delete(address);
    return kept && monotonicMs() - kept.at < nonceUsableMs
      ? { nonce: kept.nonce, fresh: false }
      : { nonce: await askNonce(address), fresh: true };
  };
  return {
    status: async (address, { timeoutMs } = {}) =>
      v.parse(NodeStatus, await get(address, agentPaths.status, timeoutMs)),
    prepare: async (address) => {
      const nonce = await askNonce(address).catch(() => undefined);
      if (nonce !== undefined) ready.set(address, { nonce, at: monotonicMs() });
    },
    command: async (address, name, fence, body, { timeoutMs = options.timeoutMs } = {}) => {
      const path = agentCommandPath(name);
      const text = JSON.stringify(body);
      for (;;) {
        const { nonce, fresh } = await nonceFor(address);
        const signature = signCommand(await options.key(), { method: "POST", path, body: text, fence, nonce });
        const headers = {
          [agentCommandHeaders.fence]: String(fence),
          [agentCommandHeaders.nonce]: nonce,
          [agentCommandHeaders.signature]: signature,
        };
        const reply = await call(address, "POST", path, headers, text, timeoutMs);
        if (reply.status === 200) return JSON.parse(reply.text);
        // An agent that was started anew does not know the nonces of the one before it.
        if (reply.status === 403 && !fresh) continue;
        throw refusal(address, name, fence, reply);
      }
    },
  };
};

const refusal = (address: string, name: AgentCommandName, fence: number, reply: Reply): Failure => {
  if (reply.status === 409) {
    return new Failure("superseded", {
      message: `The agent at ${address} refused ${name} under fence ${fence}: it has seen a higher one.`,
    });
  }
  const failed = reply.status === 422 ? v.safeParse(FailureReport, parsed(reply.text)) : undefined;
  if (failed?.success) {
    const { failure_reason, message, changed, next } = failed.output;
    return new Failure(failure_reason, { message: `${name} at ${address}: ${message}`, changed, next });
  }
  return new Failure("node-unreachable", {
    message: `The agent at ${address} answered ${name} with ${reply.status}: ${reply.text.trim()}.`,
  });
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
