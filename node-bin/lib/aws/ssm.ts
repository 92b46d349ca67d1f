import { Failure } from "#contract/failure-reasons.ts";
import type { Aws } from "./clients.ts";
import { awsErrorName, awsFailure } from "./failures.ts";

/** How a command stands on one instance. */
export interface Invocation {
  /** SSM's `StatusDetails`: `Pending`, `InProgress`, `Success`, `Failed`, `DeliveryTimedOut`, … */
  readonly status: string;
  /** The first 24,000 characters. */
  readonly stdout: string;
}

/**
 * Run Command, as much of it as is needed. Errors: `permission-denied`, `aws-unavailable`, and `bad-input` for a document that
 * does not exist. What is wrong with the instance is an answer.
 */
export interface RunCommand {
  /** Sends a document without parameters; answers the command's id, or undefined when SSM does not manage the instance. */
  send(document: string, instanceId: string): Promise<string | undefined>;
  /** Undefined while SSM does not know the invocation, which is so for some seconds after `send`. */
  invocation(commandId: string, instanceId: string): Promise<Invocation | undefined>;
}

/** Seconds after which SSM gives up delivering; its least. */
const deliverWithinSeconds = 30;

/** Run Command through AWS. `comment` is shown in SSM's history, so that it tells who sent the command. */
export const makeRunCommand = (aws: Pick<Aws, "ssm">, comment: string): RunCommand => ({
  send: async (document, instanceId) => {
    try {
      const [client, { SendCommandCommand }] = await Promise.all([aws.ssm(), import("./sdk/ssm.ts")]);
      const { Command } = await client.send(
        new SendCommandCommand({
          DocumentName: document,
          InstanceIds: [instanceId],
          TimeoutSeconds: deliverWithinSeconds,
          Comment: comment.slice(0, 100),
        }),
      );
      return Command?.CommandId;
    } catch (error) {
      if (awsErrorName(error) === "InvalidInstanceId") return undefined;
      if (awsErrorName(error) === "InvalidDocument") {
        throw new Failure("bad-input", { message: `The SSM document ${document} does not exist.`, cause: error });
      }
      throw awsFailure(error, { action: "ssm:SendCommand", resource: `document ${document}, instance ${instanceId}` });
    }
  },
  invocation: async (commandId, instanceId) => {
    try {
      const [client, { GetCommandInvocationCommand }] = await Promise.all([aws.ssm(), import("./sdk/ssm.ts")]);
      const answer = await client.send(
        new GetCommandInvocationCommand({ CommandId: commandId, InstanceId: instanceId }),
      );
      return {
        status: (answer.StatusDetails || (answer.Status ?? "")).replaceAll(" ", ""),
        stdout: answer.StandardOutputContent ?? "",
      };
    } catch (error) {
      if (awsErrorName(error) === "InvocationDoesNotExist") return undefined;
      throw awsFailure(error, {
        action: "ssm:GetCommandInvocation",
        resource: `command ${commandId}, instance ${instanceId}`,
      });
    }
  },
});
