import * as v from "valibot";
import { type DocumentOperation, documentName, maxCommandOutput } from "#contract/documents.ts";
import { Failure, FailureReport } from "#contract/failure-reasons.ts";
import type { Clock } from "./clock.ts";
import { shortened } from "./text.ts";

/** One invocation of a command on one node, as SSM tells it. */
export interface Invocation {
  /** SSM's `StatusDetails`: `Pending`, `Success`, `DeliveryTimedOut`, … */
  readonly status: string;
  readonly exitCode: number;
  /** The first 24,000 characters. */
  readonly stdout: string;
  /** The first 8,000 characters. */
  readonly stderr: string;
}

/** Run Command, as much of it as is needed. Both throw a Failure for what is wrong with the call, not with the node. */
export interface RunCommand {
  send(request: {
    readonly document: string;
    readonly instanceId: string;
    readonly parameters: Readonly<Record<string, string>>;
  }): Promise<{ readonly commandId: string } | { readonly refused: NodeProblem; readonly detail: string }>;
  /** Undefined while SSM does not know the invocation, which is so for some seconds after `send`. */
  invocation(commandId: string, instanceId: string): Promise<Invocation | undefined>;
}

/** Why a node gave no usable answer. */
export type NodeProblem =
  | "not-managed"
  | "no-document"
  | "undeliverable"
  | "delivery-timed-out"
  | "execution-timed-out"
  | "failed"
  | "cancelled"
  | "no-answer"
  | "answer-too-long"
  | "answer-not-json";

/** What a node answered. */
export type NodeAnswer =
  | { readonly ok: true; readonly json: unknown }
  | {
      readonly ok: false;
      readonly problem: NodeProblem;
      readonly detail: string;
      /** What the script said of its failure, when it ended with one that has a reason. */
      readonly failure?: Failure;
    };

/** An operation to be done by one node. */
export interface NodeRequest {
  readonly clusterId: string;
  readonly operation: DocumentOperation;
  readonly instanceId: string;
  /** Values of the document's parameters; never a secret, because SSM keeps them. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** How long to wait for the answer, milliseconds. */
  readonly timeoutMs: number;
}

/** How long SSM may not know an invocation that it accepted. */
const unknownForMs = 30_000;
const poll = { firstMs: 150, factor: 1.5, mostMs: 2000 };

/**
 * Sends the operation's document to one node, and waits for the short JSON that it prints.
 *
 * @throws a Failure when AWS refuses the call, and the signal's reason when it is aborted. What is wrong with the node is an answer.
 */
export async function askNode(
  ssm: RunCommand,
  request: NodeRequest,
  clock: Clock,
  signal: AbortSignal,
): Promise<NodeAnswer> {
  const { clusterId, operation, instanceId, parameters = {}, timeoutMs } = request;
  const sentAt = clock.now();
  const sent = await ssm.send({ document: documentName(clusterId, operation), instanceId, parameters });
  if ("refused" in sent) return { ok: false, problem: sent.refused, detail: sent.detail };

  let pause = poll.firstMs;
  let last = "no invocation yet";
  for (;;) {
    const invocation = await ssm.invocation(sent.commandId, instanceId);
    const waited = clock.now() - sentAt;
    if (invocation !== undefined) {
      const answer = answerOf(invocation);
      if (answer !== undefined) return answer;
      last = invocation.status;
    } else if (waited >= unknownForMs) {
      return no("no-answer", `SSM accepted command ${sent.commandId} and does not know it after 30 s`);
    }
    if (waited >= timeoutMs) {
      return no("no-answer", `no answer within ${Math.round(timeoutMs / 1000)} s, last status ${last}`);
    }
    await clock.sleep(Math.min(pause, Math.max(1, timeoutMs - waited)), signal);
    pause = Math.min(pause * poll.factor, poll.mostMs);
  }
}

const no = (problem: NodeProblem, detail: string) => ({ ok: false, problem, detail }) as const;

/** The answer that an invocation is, or undefined while it is under way. */
export function answerOf({ status, exitCode, stdout, stderr }: Invocation): NodeAnswer | undefined {
  switch (status.replaceAll(" ", "")) {
    case "Pending":
    case "InProgress":
    case "Delayed":
    case "Cancelling":
      return undefined;
    case "Success":
      return jsonOf(stdout);
    case "Undeliverable":
      return no("undeliverable", "SSM could not deliver the command: its agent on the node does not answer");
    case "DeliveryTimedOut":
      return no("delivery-timed-out", "SSM delivered nothing in time: its agent on the node does not answer");
    case "ExecutionTimedOut":
    case "TimedOut":
      return no("execution-timed-out", "the script on the node did not end in time");
    case "Cancelled":
    case "Canceled":
    case "Terminated":
      return no("cancelled", `the command was ended from outside (${status})`);
    default:
      return {
        ...no("failed", `${status}, exit code ${exitCode}: ${lastLines(stderr) || lastLines(stdout) || "no output"}`),
        ...failureOf(stdout),
      };
  }
}

function jsonOf(stdout: string): NodeAnswer {
  if (stdout.length >= maxCommandOutput) {
    return no("answer-too-long", `the answer has ${maxCommandOutput} characters or more and was cut by SSM`);
  }
  try {
    return { ok: true, json: JSON.parse(stdout) as unknown };
  } catch {
    return no("answer-not-json", `the answer is not JSON: ${shortened(stdout.trim(), 200) || "empty"}`);
  }
}

function failureOf(stdout: string): { failure: Failure } | undefined {
  const answer = jsonOf(stdout);
  const report = v.safeParse(FailureReport, answer.ok ? answer.json : undefined);
  if (!report.success) return undefined;
  const { failure_reason, ...details } = report.output;
  return { failure: new Failure(failure_reason, details) };
}

const lastLines = (text: string): string => {
  const lines = text.trim().split("\n");
  return shortened(lines.slice(-3).join(" ").trim(), 400);
};
