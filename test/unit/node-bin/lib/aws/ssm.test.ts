import type { SSMClient } from "@aws-sdk/client-ssm";
import { describe, expect, it } from "vitest";
import { makeRunCommand } from "#node/lib/aws/ssm.ts";
import { fakeClient, type SentCall, sdkError } from "./fake-client.ts";

const id = "i-0123456789abcdef0";
const commandsOf = (answer: (call: SentCall) => unknown) => {
  const { calls, as } = fakeClient<SSMClient>(answer);
  return { calls, commands: makeRunCommand({ ssm: as }, "a test") };
};

describe("Run Command", () => {
  it("sends a document without parameters, and is not delivered for long", async () => {
    const { calls, commands } = commandsOf(() => ({ Command: { CommandId: "c-1" } }));
    expect(await commands.send("percona-c1-status", id)).toBe("c-1");
    expect(calls).toEqual([
      {
        name: "SendCommand",
        input: { DocumentName: "percona-c1-status", InstanceIds: [id], TimeoutSeconds: 30, Comment: "a test" },
      },
    ]);
  });

  it("answers that SSM does not manage an instance, and that it does not know an invocation yet", async () => {
    const { commands } = commandsOf(({ name }) => {
      throw sdkError(name === "SendCommand" ? "InvalidInstanceId" : "InvocationDoesNotExist");
    });
    expect(await commands.send("percona-c1-status", id)).toBeUndefined();
    expect(await commands.invocation("c-1", id)).toBeUndefined();
  });

  it("tells how an invocation ended in one word", async () => {
    const { commands } = commandsOf(() => ({
      Status: "TimedOut",
      StatusDetails: "Delivery Timed Out",
      StandardOutputContent: "",
    }));
    expect(await commands.invocation("c-1", id)).toEqual({ status: "DeliveryTimedOut", stdout: "" });
  });

  it.each([
    ["the document does not exist", "InvalidDocument", "bad-input"],
    ["the role may not send it", "AccessDeniedException", "permission-denied"],
    ["SSM has enough", "ThrottlingException", "aws-unavailable"],
  ])("fails when %s", async (_, name, reason) => {
    const { commands } = commandsOf(() => {
      throw sdkError(name);
    });
    await expect(commands.send("percona-c1-status", id)).rejects.toMatchObject({ reason });
  });
});
