import { GetCommandInvocationCommand, SendCommandCommand } from "@aws-sdk/client-ssm";
import type { RunCommand } from "../run-command.ts";
import { call, errorName } from "./call.ts";
import type { AwsClients } from "./clients.ts";

/** Seconds after which SSM gives up delivering; its least. */
const deliverWithinSeconds = 30;

/** Run Command through AWS. `comment` is shown in SSM's history, so that it tells which run sent the command. */
export const ssmRunCommand = ({ ssm }: Pick<AwsClients, "ssm">, comment: string, signal: AbortSignal): RunCommand => ({
  send: ({ document, instanceId, parameters }) =>
    call({ action: "ssm:SendCommand", on: `${document} and ${instanceId}`, signal }, async () => {
      try {
        const answer = await ssm.send(
          new SendCommandCommand({
            DocumentName: document,
            InstanceIds: [instanceId],
            Parameters: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, [value]])),
            TimeoutSeconds: deliverWithinSeconds,
            Comment: comment.slice(0, 100),
          }),
          { abortSignal: signal },
        );
        return { commandId: answer.Command?.CommandId ?? "" };
      } catch (error) {
        switch (errorName(error)) {
          case "InvalidInstanceId":
            return {
              refused: "not-managed",
              detail: "SSM does not manage it: its SSM agent has not registered, or has gone",
            };
          case "InvalidDocument":
            return { refused: "no-document", detail: `the SSM document ${document} does not exist` };
          default:
            throw error;
        }
      }
    }),
  invocation: (commandId, instanceId) =>
    call({ action: "ssm:GetCommandInvocation", on: `${commandId}, ${instanceId}`, signal }, async () => {
      try {
        const answer = await ssm.send(
          new GetCommandInvocationCommand({ CommandId: commandId, InstanceId: instanceId }),
          { abortSignal: signal },
        );
        return {
          status: answer.StatusDetails || (answer.Status ?? ""),
          exitCode: answer.ResponseCode ?? -1,
          stdout: answer.StandardOutputContent ?? "",
          stderr: answer.StandardErrorContent ?? "",
        };
      } catch (error) {
        if (errorName(error) === "InvocationDoesNotExist") return undefined;
        throw error;
      }
    }),
});
