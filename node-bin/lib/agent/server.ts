import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type * as v from "valibot";
import {
  AgentCommandName,
  agentCommandHeaders,
  agentCommandPath,
  agentNoncePath,
  agentPaths,
  maxLagParameter,
  type NodeStatus,
} from "#contract/agent-api.ts";
import { failureReport, messageOf } from "#contract/failure-reasons.ts";
import { isSignedBy } from "../agent-client/signature.ts";
import type { Verdict } from "../cluster/serving.ts";
import type { Nonces } from "./nonces.ts";

/** What the server answers from; nothing here asks MySQL or AWS. */
export interface AgentAnswers {
  healthy(): Verdict;
  servesWrites(): Verdict;
  servesReads(maxLagSeconds: number | undefined): Verdict;
  status(): NodeStatus;
}

/** Handles one command whose signature and fence were checked; answers what goes into the reply. */
export type CommandHandler = (body: unknown, fence: number) => Promise<unknown>;

/** Commands that this agent obeys; others are refused with 404. */
export type CommandHandlers = Partial<Record<v.InferOutput<typeof AgentCommandName>, CommandHandler>>;

/** What guards commands. */
export interface CommandGuard {
  readonly key: () => string | undefined;
  readonly nonces: Nonces;
  /** Takes note of the fence; false when it is below the highest that this node has seen. */
  readonly acceptFence: (fence: number) => Promise<boolean>;
}

const bodyLimit = 64 * 1024;

const answer = (response: ServerResponse, status: number, body: unknown): void => {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
};

const answerVerdict = (response: ServerResponse, verdict: Verdict): void =>
  answer(response, verdict.ok ? 200 : 503, verdict);

const readBody = async (request: IncomingMessage): Promise<string | undefined> => {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += (part as Buffer).length;
    if (size > bodyLimit) return undefined;
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
};

const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text === "" ? "{}" : text);
  } catch {
    return undefined;
  }
};

const handleCommand = async (
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  handlers: CommandHandlers,
  guard: CommandGuard,
): Promise<void> => {
  const name = AgentCommandName.options.find((option) => agentCommandPath(option) === path);
  const handler = name === undefined ? undefined : handlers[name];
  if (!handler) return answer(response, 404, { error: "no such command" });
  const body = await readBody(request);
  if (body === undefined) return answer(response, 413, { error: "the body is too large" });
  const fence = Number(header(request, agentCommandHeaders.fence));
  const nonce = header(request, agentCommandHeaders.nonce);
  const key = guard.key();
  if (key === undefined) return answer(response, 503, { error: "the signing key has not been read yet" });
  // The nonce is used up also by a wrong signature, so that guessing needs a new one each time.
  const fresh = guard.nonces.take(nonce);
  const signed = isSignedBy(
    key,
    { method: "POST", path, body, fence, nonce },
    header(request, agentCommandHeaders.signature),
  );
  if (!fresh || !signed || !Number.isSafeInteger(fence))
    return answer(response, 403, { error: "the signature or its nonce is not valid" });
  // Looking changes nothing, and a frozen node has to be looked at under the recorded fence.
  if (name !== "inspect" && !(await guard.acceptFence(fence)))
    return answer(response, 409, { error: "a higher fence has been seen" });
  try {
    answer(response, 200, (await handler(parseJson(body), fence)) ?? {});
  } catch (error) {
    answer(response, 422, failureReport(error));
  }
};

const maxLagOf = (url: URL): number | undefined => {
  const text = url.searchParams.get(maxLagParameter);
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
};

/** Starts the agent's HTTP server on the node's own address. */
export const startAgentServer = async (options: {
  readonly address: string;
  readonly port: number;
  readonly answers: AgentAnswers;
  readonly handlers: CommandHandlers;
  readonly guard: CommandGuard;
  readonly onError: (error: unknown) => void;
}): Promise<Server> => {
  const { answers, handlers, guard } = options;
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://agent");
    if (request.method === "POST") return handleCommand(request, response, url.pathname, handlers, guard);
    if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 405, { error: "GET or POST" });
    switch (url.pathname) {
      case agentPaths.health:
        return answerVerdict(response, answers.healthy());
      case agentPaths.primary:
        return answerVerdict(response, answers.servesWrites());
      case agentPaths.replica:
        return answerVerdict(response, answers.servesReads(maxLagOf(url)));
      case agentPaths.status:
        return answer(response, 200, answers.status());
      case agentNoncePath:
        return answer(response, 200, { nonce: guard.nonces.give() });
      default:
        return answer(response, 404, { error: "no such path" });
    }
  };
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      options.onError(error);
      if (response.headersSent) response.destroy();
      else answer(response, 500, { error: messageOf(error) });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.address, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
};
