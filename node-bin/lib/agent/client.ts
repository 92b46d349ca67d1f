import { Agent, request } from "node:http";
import * as v from "valibot";
import {
  type AgentCommandName,
  agentCommandHeaders,
  agentCommandPath,
  agentNoncePath,
  agentPaths,
  NodeStatus,
} from "#contract/agent-api.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { ports } from "#contract/ports.ts";
import { signCommand } from "./signature.ts";

/** Talks to the agents of other nodes. */
export interface AgentClient {
  /** What the agent at this address says. Errors: `node-unreachable`. */
  status(address: string): Promise<NodeStatus>;
  /** Sends a signed command under a fence. Errors: `node-unreachable`; `superseded` when the agent has seen a higher fence. */
  command(address: string, name: AgentCommandName, fence: number, body: unknown): Promise<unknown>;
}

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
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const fail = (cause: unknown): void =>
        reject(
          new Failure("node-unreachable", {
            message: `The agent at ${address}:${ports.agent} did not answer ${method} ${path}: ${cause instanceof Error ? cause.message : String(cause)}.`,
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
          signal: AbortSignal.timeout(options.timeoutMs),
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("error", fail);
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") }),
          );
        },
      );
      sent.on("error", fail);
      sent.end(body);
    });
  const get = async (address: string, path: string): Promise<unknown> => {
    const reply = await call(address, "GET", path, {}, "");
    if (reply.status !== 200) {
      throw new Failure("node-unreachable", {
        message: `The agent at ${address} answered ${path} with ${reply.status}: ${reply.text.trim()}.`,
      });
    }
    return JSON.parse(reply.text);
  };
  return {
    status: async (address) => v.parse(NodeStatus, await get(address, agentPaths.status)),
    command: async (address, name, fence, body) => {
      const { nonce } = v.parse(v.object({ nonce: v.string() }), await get(address, agentNoncePath));
      const path = agentCommandPath(name);
      const text = JSON.stringify(body);
      const signature = signCommand(await options.key(), { method: "POST", path, body: text, fence, nonce });
      const headers = {
        [agentCommandHeaders.fence]: String(fence),
        [agentCommandHeaders.nonce]: nonce,
        [agentCommandHeaders.signature]: signature,
      };
      const reply = await call(address, "POST", path, headers, text);
      if (reply.status === 409) {
        throw new Failure("superseded", {
          message: `The agent at ${address} refused ${name} under fence ${fence}: it has seen a higher one.`,
        });
      }
      if (reply.status !== 200) {
        throw new Failure("node-unreachable", {
          message: `The agent at ${address} answered ${name} with ${reply.status}: ${reply.text.trim()}.`,
        });
      }
      return JSON.parse(reply.text);
    },
  };
};
