import {
  CancelCommandCommand,
  CreateDocumentCommand,
  DescribeInstanceInformationCommand,
  GetCommandInvocationCommand,
  type GetCommandInvocationCommandOutput,
  ListCommandInvocationsCommand,
  ListCommandsCommand,
  SendCommandCommand,
  type SendCommandCommandInput,
  SSMClient,
  UpdateDocumentCommand,
} from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tags } from "#contract/tags.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { eventually, processHost, startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let ssm: SSMClient;
const off = new Set<string>();
const names: string[] = [];

const script = `
case "$SSM_What" in
  env) env | sort ;;
  say) printf '%s' "$SSM_Text" ;;
  fail) echo broken >&2; exit 7 ;;
  flood) yes 0123456789 | head -c 30000; yes abc | head -c 9000 >&2 ;;
  sleep) sleep 30 ;;
esac`;

const document = {
  schemaVersion: "2.2",
  parameters: {
    What: {
      type: "String",
      interpolationType: "ENV_VAR",
      allowedValues: ["env", "say", "fail", "flood", "sleep"],
    },
    Text: {
      type: "String",
      interpolationType: "ENV_VAR",
      default: "nothing",
      allowedPattern: "^[ -~]{0,200}$",
    },
    Seconds: { type: "String", default: "20" },
  },
  mainSteps: [
    {
      action: "aws:runShellScript",
      name: "probe",
      inputs: { runCommand: script.split("\n"), timeoutSeconds: "{{ Seconds }}" },
    },
  ],
};

const client = (keys = test.cloud.operator): SSMClient =>
  new SSMClient({ endpoint: test.cloud.endpoint, region: test.cloud.region, credentials: keys, maxAttempts: 1 });

beforeAll(async () => {
  test = await startTestCloud();
  cluster = await createCluster(test.cloud, { clusterId: "commands", nodes: 3 });
  names.push(...test.cloud.instances().map(({ instanceId }) => instanceId));
  test.cloud.attachNodes(processHost(off, { PERCONA_ACTIONS_BIN: "/nonexistent" }));
  ssm = client();
  await ssm.send(
    new CreateDocumentCommand({ Name: "probe", DocumentType: "Command", Content: JSON.stringify(document) }),
  );
});
afterAll(async () => {
  await test?.close();
});

const node = (n = 0): string => names[n] ?? "";
const send = async (
  parameters: Record<string, string[]>,
  more: Partial<SendCommandCommandInput> = {},
): Promise<string> => {
  const { Command } = await ssm.send(
    new SendCommandCommand({ DocumentName: "probe", InstanceIds: [node()], Parameters: parameters, ...more }),
  );
  return Command?.CommandId ?? "";
};
const invocation = (CommandId: string, InstanceId = node()): Promise<GetCommandInvocationCommandOutput> =>
  ssm.send(new GetCommandInvocationCommand({ CommandId, InstanceId }));
const ended = (CommandId: string, InstanceId = node()) =>
  eventually("the command's end", async () => {
    const seen = await invocation(CommandId, InstanceId);
    return ["Pending", "InProgress", "Cancelling"].includes(seen.Status ?? "") ? undefined : seen;
  });

describe("a command", () => {
  it("cannot be read for a moment, then succeeds with what the script printed", async () => {
    const id = await send({ What: ["say"], Text: ["hello; echo $(id) `id` && {{ What }}"] });
    await expect(invocation(id)).rejects.toMatchObject({ name: "InvocationDoesNotExist" });
    expect(await ended(id)).toMatchObject({
      Status: "Success",
      StatusDetails: "Success",
      ResponseCode: 0,
      StandardOutputContent: "hello; echo $(id) `id` && {{ What }}",
      StandardErrorContent: "",
      DocumentName: "probe",
      PluginName: "probe",
    });
  });

  it("gets its parameters as environment variables and nothing of the lab's", async () => {
    const { StandardOutputContent = "" } = await ended(await send({ What: ["env"] }));
    const lines = StandardOutputContent.trim().split("\n");
    expect(lines).toContain("SSM_Text=nothing");
    expect(lines.filter((line) => line.startsWith("SSM_"))).toEqual(["SSM_Text=nothing", "SSM_What=env"]);
    expect(StandardOutputContent).not.toContain("AWS_");
  });

  it("fails with the script's exit code", async () => {
    expect(await ended(await send({ What: ["fail"] }))).toMatchObject({
      Status: "Failed",
      ResponseCode: 7,
      StandardErrorContent: "broken\n",
    });
  });

  it("loses what is beyond 24,000 and 8,000 characters", async () => {
    const seen = await ended(await send({ What: ["flood"] }));
    expect(seen.StandardOutputContent?.length).toBe(24_000);
    expect(seen.StandardErrorContent?.length).toBe(8000);
    expect(seen.Status).toBe("Success");
  });

  it("that runs too long is ended", async () => {
    expect(await ended(await send({ What: ["sleep"], Seconds: ["1"] }))).toMatchObject({
      Status: "TimedOut",
      StatusDetails: "ExecutionTimedOut",
      ResponseCode: -1,
    });
  });

  it("can be cancelled", async () => {
    const id = await send({ What: ["sleep"] });
    await eventually("the start", async () => (await invocation(id)).Status === "InProgress");
    await ssm.send(new CancelCommandCommand({ CommandId: id }));
    expect(await ended(id)).toMatchObject({ Status: "Cancelled" });
  });

  it("to a node that is off waits for it, and gives up after its delivery timeout", async () => {
    off.add(node(1));
    // 30 s are 3 s here.
    const lost = await send({ What: ["env"] }, { InstanceIds: [node(1)], TimeoutSeconds: 30 });
    expect(await ended(lost, node(1))).toMatchObject({ Status: "TimedOut", StatusDetails: "DeliveryTimedOut" });
    const late = await send({ What: ["env"] }, { InstanceIds: [node(1)] });
    await eventually("the wait", async () => (await invocation(late, node(1))).Status === "Pending");
    const { InstanceInformationList } = await ssm.send(
      new DescribeInstanceInformationCommand({ Filters: [{ Key: "InstanceIds", Values: [node(0), node(1)] }] }),
    );
    expect(new Map(InstanceInformationList?.map(({ InstanceId, PingStatus }) => [InstanceId, PingStatus]))).toEqual(
      new Map([
        [node(0), "Online"],
        [node(1), "ConnectionLost"],
      ]),
    );
    off.delete(node(1));
    expect(await ended(late, node(1))).toMatchObject({ Status: "Success" });
  });

  it("to a tag reaches each instance that has it, and is listed", async () => {
    const id = await send(
      { What: ["say"], Text: ["x"] },
      { InstanceIds: undefined, Targets: [{ Key: `tag:${tags.clusterId}`, Values: [cluster.clusterId] }] },
    );
    for (const name of names) expect((await ended(id, name)).Status).toBe("Success");
    const { CommandInvocations } = await ssm.send(new ListCommandInvocationsCommand({ CommandId: id, Details: true }));
    expect(CommandInvocations?.map(({ InstanceId }) => InstanceId).sort()).toEqual([...names].sort());
    expect(CommandInvocations?.[0]?.CommandPlugins?.[0]?.Output).toBe("x");
    const { Commands } = await ssm.send(new ListCommandsCommand({ CommandId: id }));
    expect(Commands?.[0]).toMatchObject({ Status: "Success", TargetCount: 3, CompletedCount: 3, ErrorCount: 0 });
  });

  it("of the project's own status document calls the operation script", async () => {
    const id = await send({}, { DocumentName: cluster.documents.status });
    const seen = await ended(id);
    expect(seen).toMatchObject({ Status: "Failed", ResponseCode: 127 });
    expect(seen.StandardErrorContent).toContain("/nonexistent/operation");
  });
});

describe("a command is refused", () => {
  it.each([
    ["with an unknown parameter", { What: ["env"], Shell: ["id"] }, "InvalidParameters"],
    ["without a required parameter", {}, "InvalidParameters"],
    ["with a value that is not allowed", { What: ["rm"] }, "InvalidParameters"],
    ["with a value outside the pattern", { What: ["say"], Text: ["\u0007"] }, "InvalidParameters"],
  ])("%s", async (_, parameters, name) => {
    await expect(send(parameters as unknown as Record<string, string[]>)).rejects.toMatchObject({ name });
  });

  it("with a document that gives a shell", async () => {
    await expect(send({ commands: ["id"] }, { DocumentName: "AWS-RunShellScript" })).rejects.toMatchObject({
      name: "AccessDeniedException",
    });
  });

  it("with a document that is not there", async () => {
    await expect(send({}, { DocumentName: "nobody" })).rejects.toMatchObject({ name: "InvalidDocument" });
  });

  it("with a document that pastes its parameters", async () => {
    const pasted = structuredClone(document);
    for (const step of pasted.mainSteps) step.inputs.runCommand = ["echo {{ Text }}"];
    await ssm.send(
      new CreateDocumentCommand({ Name: "pasted", DocumentType: "Command", Content: JSON.stringify(pasted) }),
    );
    await expect(send({ What: ["env"] }, { DocumentName: "pasted" })).rejects.toMatchObject({
      name: "InvalidDocument",
    });
  });

  it("to an instance that is not there", async () => {
    await expect(send({ What: ["env"] }, { InstanceIds: ["i-0123456789abcdef0"] })).rejects.toMatchObject({
      name: "InvalidInstanceId",
    });
  });

  it("with a wrong signature, and so is a change of a document", async () => {
    const wrong = client({ ...test.cloud.operator, secretAccessKey: "guess" });
    const command = new SendCommandCommand({
      DocumentName: "probe",
      InstanceIds: [node()],
      Parameters: { What: ["env"] },
    });
    await expect(wrong.send(command)).rejects.toMatchObject({ name: "SignatureDoesNotMatch" });
    const change = new UpdateDocumentCommand({ Name: "probe", DocumentVersion: "$LATEST", Content: "{}" });
    await expect(wrong.send(change)).rejects.toMatchObject({ name: "SignatureDoesNotMatch" });
  });

  it("without a signature, and for a web page", async () => {
    const request = (headers: Record<string, string>) =>
      fetch(test.cloud.endpoint, {
        method: "POST",
        headers: { "x-amz-target": "AmazonSSM.SendCommand", "content-type": "application/x-amz-json-1.1", ...headers },
        body: JSON.stringify({ DocumentName: "probe", InstanceIds: [node()], Parameters: { What: ["env"] } }),
      });
    expect((await request({})).status).toBe(403);
    const authorization = `AWS4-HMAC-SHA256 Credential=${test.cloud.operator.accessKeyId}/20261121/us-east-1/ssm/aws4_request, SignedHeaders=host, Signature=${"0".repeat(64)}`;
    const signed = await request({ authorization });
    expect(signed.status).toBe(403);
    expect(await signed.json()).toMatchObject({ __type: "SignatureDoesNotMatch" });
    expect((await request({ authorization, origin: "http://example.org" })).status).toBe(403);
  });
});
