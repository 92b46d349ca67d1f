import { createHash, randomUUID } from "node:crypto";
import { GetDocumentCommand, type SSMClient } from "@aws-sdk/client-ssm";
import * as v from "valibot";
import { maxCommandOutput } from "#contract/documents.ts";
import { messageOf } from "#contract/failure-reasons.ts";
import { type Answer, AwsError, jsonAnswer } from "./aws-error.ts";
import { type BoundParameters, bindParameters, type CommandDocument, readCommandDocument } from "./command-document.ts";
import type { NodeHost } from "./types.ts";

/** GetCommandInvocation returns at most so many characters of standard error, ListCommandInvocations of its output. */
const maxErrorOutput = 8000;
const maxListedOutput = 2500;
/** An invocation cannot be read for a moment after its command was sent. */
const invisibleMs = 200;
const pollOffNodeMs = 200;
/** How long commands may take to end when the lab closes. */
const closePatienceMs = 5000;
/** Limits of TimeoutSeconds, and its default. */
const minDeliverySeconds = 30;
const maxDeliverySeconds = 2_592_000;
const defaultDeliverySeconds = 3600;
/** Documents that give a shell to whoever may send them. */
const forbiddenDocuments = new Set(["AWS-RunShellScript", "AWS-RunPowerShellScript", "AWS-RunRemoteScript"]);

const SendCommandInput = v.looseObject({
  DocumentName: v.string(),
  DocumentVersion: v.optional(v.string()),
  DocumentHash: v.optional(v.string()),
  DocumentHashType: v.optional(v.string()),
  InstanceIds: v.optional(v.array(v.string()), []),
  Targets: v.optional(v.array(v.object({ Key: v.string(), Values: v.array(v.string()) })), []),
  TimeoutSeconds: v.optional(v.number(), defaultDeliverySeconds),
  Comment: v.optional(v.string(), ""),
  Parameters: v.optional(v.record(v.string(), v.array(v.string())), {}),
  OutputS3BucketName: v.optional(v.string(), ""),
  CloudWatchOutputConfig: v.optional(v.looseObject({ CloudWatchOutputEnabled: v.optional(v.boolean(), false) })),
});
type SendCommandInput = v.InferOutput<typeof SendCommandInput>;

const InvocationInput = v.looseObject({
  CommandId: v.string(),
  InstanceId: v.string(),
  PluginName: v.optional(v.string()),
});
const ListInput = v.looseObject({
  CommandId: v.optional(v.string()),
  InstanceId: v.optional(v.string()),
  Details: v.optional(v.boolean(), false),
});
const InformationInput = v.looseObject({
  Filters: v.optional(v.array(v.object({ Key: v.string(), Values: v.array(v.string()) })), []),
});
const CancelInput = v.looseObject({ CommandId: v.string(), InstanceIds: v.optional(v.array(v.string()), []) });

/** What Run Command needs to know about instances. */
export interface CommandTarget {
  readonly instanceId: string;
  readonly state: string;
  readonly tags: Readonly<Record<string, string>>;
}

type Status = "Pending" | "InProgress" | "Success" | "Failed" | "TimedOut" | "Cancelling" | "Cancelled";

interface Invocation {
  readonly instanceId: string;
  status: Status;
  details: string;
  code: number;
  stdout: string;
  stderr: string;
  readonly abort: AbortController;
  startedAt?: Date;
  endedAt?: Date;
}

interface Command {
  readonly id: string;
  readonly input: SendCommandInput;
  readonly documentVersion: string;
  readonly stepName: string;
  readonly requestedAt: Date;
  /** Monotonic milliseconds. */
  readonly visibleFrom: number;
  readonly invocations: ReadonlyMap<string, Invocation>;
}

export interface RunCommand {
  /** Answers an operation of Run Command; undefined when the operation is not one. */
  handle(operation: string, body: Buffer): Promise<Answer> | undefined;
  attachNodes(host: NodeHost): void;
  close(): Promise<void>;
}

export interface RunCommandOptions {
  readonly ssm: SSMClient;
  readonly targets: () => readonly CommandTarget[];
  readonly now: () => number;
  /** Divides the time that a command waits for a node that is off. */
  readonly timeFactor: number;
  readonly report: (line: string) => void;
}

const finished = new Set<Status>(["Success", "Failed", "TimedOut", "Cancelled"]);
const isUnknown = (error: unknown): boolean => error instanceof Error && error.name === "InvalidDocument";
const seconds = (date: Date): number => date.getTime() / 1000;

const parse = <T extends v.GenericSchema>(schema: T, body: Buffer): v.InferOutput<T> => {
  let json: unknown;
  try {
    json = JSON.parse(body.toString() || "{}");
  } catch {
    throw new AwsError("SerializationException", "The body is not JSON.");
  }
  const read = v.safeParse(schema, json);
  if (read.success) return read.output;
  const [issue] = read.issues;
  throw new AwsError("ValidationException", `${v.getDotPath(issue) ?? "request"}: ${issue.message}`);
};

/** Run Command of the lab: documents from moto, executed by whatever runs the nodes. */
export const createRunCommand = (options: RunCommandOptions): RunCommand => {
  const { ssm, targets, now, report } = options;
  const commands = new Map<string, Command>();
  const running = new Set<Promise<void>>();
  let host: NodeHost | undefined;
  let closed = false;

  const fetchDocument = async (input: SendCommandInput): Promise<{ document: CommandDocument; version: string }> => {
    const name = input.DocumentName.slice(input.DocumentName.lastIndexOf("/") + 1);
    if (forbiddenDocuments.has(name)) {
      throw new AwsError(
        "AccessDeniedException",
        `User is not authorized to perform: ssm:SendCommand on document ${name}: it gives a shell to whoever may send it. Nothing was run. Send one of the cluster's own documents.`,
      );
    }
    try {
      const found = await ssm.send(
        new GetDocumentCommand({ Name: name, DocumentVersion: input.DocumentVersion ?? "$DEFAULT" }),
      );
      const content = found.Content ?? "";
      if (found.DocumentType !== "Command") throw new AwsError("InvalidDocument", `${name} is not a Command document.`);
      const hash = createHash("sha256").update(content).digest("hex");
      if (input.DocumentHash !== undefined && input.DocumentHash.toLowerCase() !== hash) {
        throw new AwsError("InvalidDocument", `The hash of ${name} is ${hash}, ${input.DocumentHash} was expected.`);
      }
      return { document: readCommandDocument(name, content), version: found.DocumentVersion ?? "1" };
    } catch (error) {
      if (isUnknown(error) && !(error instanceof AwsError)) {
        throw new AwsError("InvalidDocument", `Document with name ${name} does not exist.`);
      }
      throw error;
    }
  };

  const resolveTargets = (input: SendCommandInput): string[] => {
    const all = targets();
    const runningIds = new Set(all.filter(({ state }) => state === "running").map(({ instanceId }) => instanceId));
    const named = [
      ...input.InstanceIds,
      ...input.Targets.flatMap(({ Key, Values }) => (Key === "InstanceIds" ? Values : [])),
    ];
    const unusable = named.filter((instanceId) => !runningIds.has(instanceId));
    if (unusable.length > 0) {
      throw new AwsError(
        "InvalidInstanceId",
        `Instances [${unusable.join(", ")}] not in a valid state for this account`,
      );
    }
    if (new Set(named).size < named.length) throw new AwsError("DuplicateInstanceId", "An instance id is given twice.");
    if (input.InstanceIds.length > 0 && input.Targets.length > 0) {
      throw new AwsError("ValidationException", "Only one of InstanceIds and Targets may be given.");
    }
    if (named.length > 0) return named;
    if (input.Targets.length === 0) throw new AwsError("ValidationException", "InstanceIds or Targets must be given.");
    const byTag = input.Targets.map(({ Key, Values }) => {
      if (!Key.startsWith("tag:"))
        throw new AwsError("InvalidTarget", `The lab knows targets tag:NAME and InstanceIds, not ${Key}.`);
      return { name: Key.slice(4), values: Values };
    });
    return all
      .filter(
        ({ state, tags }) =>
          state === "running" && byTag.every(({ name, values }) => values.includes(tags[name] ?? "\0")),
      )
      .map(({ instanceId }) => instanceId);
  };

  const deliver = async (
    invocation: Invocation,
    document: CommandDocument,
    bound: BoundParameters,
    deliverBefore: number,
  ): Promise<void> => {
    const end = (status: Status, details: string, code: number): void => {
      invocation.status = status;
      invocation.details = details;
      invocation.code = code;
      invocation.endedAt = new Date();
    };
    const { signal } = invocation.abort;
    while (host?.isOn(invocation.instanceId) !== true) {
      if (signal.aborted) return end("Cancelled", "Cancelled", -1);
      if (now() >= deliverBefore) return end("TimedOut", "DeliveryTimedOut", -1);
      await new Promise((resolve) => setTimeout(resolve, Math.min(pollOffNodeMs, Math.max(1, deliverBefore - now()))));
    }
    if (signal.aborted) return end("Cancelled", "Cancelled", -1);
    invocation.status = "InProgress";
    invocation.details = "InProgress";
    invocation.startedAt = new Date();
    try {
      const result = await host.run(invocation.instanceId, {
        script: document.script,
        environment: bound.environment,
        timeoutMs: bound.timeoutSeconds * 1000,
        signal,
      });
      invocation.stdout = result.stdout;
      invocation.stderr = result.stderr;
      if (signal.aborted) end("Cancelled", "Cancelled", -1);
      else if (result.timedOut) end("TimedOut", "ExecutionTimedOut", -1);
      else if (result.exitCode === 0) end("Success", "Success", 0);
      else end("Failed", "Failed", result.exitCode ?? -1);
    } catch (error) {
      invocation.stderr = messageOf(error);
      if (signal.aborted) end("Cancelled", "Cancelled", -1);
      else end("Failed", "Failed", -1);
    }
  };

  const commandStatus = (command: Command): { status: Status; details: string } => {
    const all = [...command.invocations.values()];
    if (all.length === 0) return { status: "Success", details: "NoInstancesInTag" };
    const first = (status: Status): Invocation | undefined => all.find((invocation) => invocation.status === status);
    if (all.some(({ status }) => !finished.has(status))) {
      const isPending = all.every(({ status }) => status === "Pending");
      const status: Status = first("Cancelling") ? "Cancelling" : isPending ? "Pending" : "InProgress";
      return { status, details: status };
    }
    const worst = first("Failed") ?? first("TimedOut") ?? first("Cancelled") ?? first("Success");
    return { status: worst?.status ?? "Success", details: worst?.details ?? "Success" };
  };

  const describeCommand = (command: Command): Record<string, unknown> => {
    const { status, details } = commandStatus(command);
    const all = [...command.invocations.values()];
    const deliverySeconds = command.input.TimeoutSeconds;
    return {
      CommandId: command.id,
      DocumentName: command.input.DocumentName,
      DocumentVersion: command.documentVersion,
      Comment: command.input.Comment,
      ExpiresAfter: seconds(command.requestedAt) + deliverySeconds,
      Parameters: command.input.Parameters,
      InstanceIds: command.input.InstanceIds,
      Targets: command.input.Targets,
      RequestedDateTime: seconds(command.requestedAt),
      Status: status,
      StatusDetails: details,
      TimeoutSeconds: deliverySeconds,
      MaxConcurrency: "50",
      MaxErrors: "0",
      TargetCount: all.length,
      CompletedCount: all.filter((invocation) => finished.has(invocation.status)).length,
      ErrorCount: all.filter((invocation) => invocation.status === "Failed").length,
      DeliveryTimedOutCount: all.filter((invocation) => invocation.details === "DeliveryTimedOut").length,
      OutputS3BucketName: "",
      OutputS3KeyPrefix: "",
    };
  };

  const send = async (body: Buffer): Promise<Answer> => {
    const input = parse(SendCommandInput, body);
    if (input.OutputS3BucketName !== "" || input.CloudWatchOutputConfig?.CloudWatchOutputEnabled === true) {
      throw new AwsError(
        "InvalidOutputFolder",
        "The lab writes the output of commands neither to S3 nor to CloudWatch. Nothing was run.",
      );
    }
    if (input.TimeoutSeconds < minDeliverySeconds || input.TimeoutSeconds > maxDeliverySeconds) {
      throw new AwsError(
        "ValidationException",
        `TimeoutSeconds must be from ${minDeliverySeconds} to ${maxDeliverySeconds}.`,
      );
    }
    const { document, version } = await fetchDocument(input);
    const bound = bindParameters(document, input.Parameters);
    const invocations = new Map(
      resolveTargets(input).map((instanceId): [string, Invocation] => [
        instanceId,
        {
          instanceId,
          status: "Pending",
          details: "Pending",
          code: -1,
          stdout: "",
          stderr: "",
          abort: new AbortController(),
        },
      ]),
    );
    const command: Command = {
      id: randomUUID(),
      input,
      documentVersion: version,
      stepName: document.stepName,
      requestedAt: new Date(),
      visibleFrom: now() + invisibleMs,
      invocations,
    };
    commands.set(command.id, command);
    report(`cloud: ${input.DocumentName} was sent to ${[...invocations.keys()].join(", ") || "no instance"}`);
    const deliverBefore = now() + (input.TimeoutSeconds * 1000) / options.timeFactor;
    for (const invocation of invocations.values()) {
      const work = deliver(invocation, document, bound, deliverBefore);
      running.add(work);
      void work.finally(() => running.delete(work));
    }
    return jsonAnswer({ Command: describeCommand(command) });
  };

  const commandOf = (id: string): Command => {
    const command = commands.get(id);
    if (command === undefined) throw new AwsError("InvalidCommandId", `There is no command ${id}.`);
    return command;
  };

  const getInvocation = (body: Buffer): Answer => {
    const input = parse(InvocationInput, body);
    const command = commands.get(input.CommandId);
    const invocation = command?.invocations.get(input.InstanceId);
    if (command === undefined || invocation === undefined || now() < command.visibleFrom) {
      throw new AwsError(
        "InvocationDoesNotExist",
        "The command ID and instance ID you specified did not match any invocations.",
      );
    }
    if (input.PluginName !== undefined && input.PluginName !== command.stepName) {
      throw new AwsError("InvalidPluginName", `The document has no plugin ${input.PluginName}.`);
    }
    const { startedAt, endedAt } = invocation;
    return jsonAnswer({
      CommandId: command.id,
      InstanceId: invocation.instanceId,
      Comment: command.input.Comment,
      DocumentName: command.input.DocumentName,
      DocumentVersion: command.documentVersion,
      PluginName: command.stepName,
      ResponseCode: invocation.code,
      ExecutionStartDateTime: startedAt?.toISOString() ?? "",
      ExecutionElapsedTime: startedAt && endedAt ? `PT${(endedAt.getTime() - startedAt.getTime()) / 1000}S` : "",
      ExecutionEndDateTime: endedAt?.toISOString() ?? "",
      Status: invocation.status,
      StatusDetails: invocation.details,
      StandardOutputContent: invocation.stdout.slice(0, maxCommandOutput),
      StandardOutputUrl: "",
      StandardErrorContent: invocation.stderr.slice(0, maxErrorOutput),
      StandardErrorUrl: "",
      CloudWatchOutputConfig: { CloudWatchLogGroupName: "", CloudWatchOutputEnabled: false },
    });
  };

  const listCommands = (body: Buffer): Answer => {
    const { CommandId, InstanceId } = parse(ListInput, body);
    const found = [...commands.values()]
      .filter(({ id }) => CommandId === undefined || id === CommandId)
      .filter(({ invocations }) => InstanceId === undefined || invocations.has(InstanceId));
    if (CommandId !== undefined && found.length === 0)
      throw new AwsError("InvalidCommandId", `There is no command ${CommandId}.`);
    return jsonAnswer({ Commands: found.map(describeCommand).reverse() });
  };

  const listInvocations = (body: Buffer): Answer => {
    const { CommandId, InstanceId, Details } = parse(ListInput, body);
    const found = [...commands.values()]
      .filter(({ id }) => CommandId === undefined || id === CommandId)
      .flatMap((command) => [...command.invocations.values()].map((invocation) => ({ command, invocation })))
      .filter(({ invocation }) => InstanceId === undefined || invocation.instanceId === InstanceId);
    return jsonAnswer({
      CommandInvocations: found.map(({ command, invocation }) => ({
        CommandId: command.id,
        InstanceId: invocation.instanceId,
        Comment: command.input.Comment,
        DocumentName: command.input.DocumentName,
        DocumentVersion: command.documentVersion,
        RequestedDateTime: seconds(command.requestedAt),
        Status: invocation.status,
        StatusDetails: invocation.details,
        CommandPlugins: Details
          ? [
              {
                Name: command.stepName,
                Status: invocation.status,
                StatusDetails: invocation.details,
                ResponseCode: invocation.code,
                Output: invocation.stdout.slice(0, maxListedOutput),
                ...(invocation.startedAt ? { ResponseStartDateTime: seconds(invocation.startedAt) } : {}),
                ...(invocation.endedAt ? { ResponseFinishDateTime: seconds(invocation.endedAt) } : {}),
              },
            ]
          : [],
      })),
    });
  };

  const cancel = (body: Buffer): Answer => {
    const { CommandId, InstanceIds } = parse(CancelInput, body);
    const command = commandOf(CommandId);
    for (const invocation of command.invocations.values()) {
      if (InstanceIds.length > 0 && !InstanceIds.includes(invocation.instanceId)) continue;
      if (finished.has(invocation.status)) continue;
      if (invocation.status === "InProgress") {
        invocation.status = "Cancelling";
        invocation.details = "Cancelling";
      }
      invocation.abort.abort();
    }
    return jsonAnswer({});
  };

  const instanceInformation = (body: Buffer): Answer => {
    const { Filters } = parse(InformationInput, body);
    const passes = ({ instanceId, tags }: CommandTarget): boolean =>
      Filters.every(({ Key, Values }) => {
        if (Key === "InstanceIds") return Values.includes(instanceId);
        if (Key.startsWith("tag:")) return Values.includes(tags[Key.slice(4)] ?? "\0");
        throw new AwsError(
          "InvalidInstanceInformationFilterValue",
          `The lab filters by InstanceIds and tag:NAME, not by ${Key}.`,
        );
      });
    return jsonAnswer({
      InstanceInformationList: targets()
        .filter((target) => target.state === "running" && passes(target))
        .map(({ instanceId }) => ({
          InstanceId: instanceId,
          PingStatus: host?.isOn(instanceId) === true ? "Online" : "ConnectionLost",
          PlatformType: "Linux",
          ResourceType: "EC2Instance",
        })),
    });
  };

  const handlers: Readonly<Record<string, (body: Buffer) => Promise<Answer> | Answer>> = {
    SendCommand: send,
    GetCommandInvocation: getInvocation,
    ListCommands: listCommands,
    ListCommandInvocations: listInvocations,
    CancelCommand: cancel,
    DescribeInstanceInformation: instanceInformation,
  };

  return {
    handle: (operation, body) => {
      const handler = handlers[operation];
      if (handler === undefined) return undefined;
      if (closed) throw new AwsError("InternalServerError", "The lab is closing.", 500);
      return Promise.resolve().then(() => handler(body));
    },
    attachNodes: (given) => {
      host = given;
    },
    close: async () => {
      closed = true;
      for (const { invocations } of commands.values()) for (const { abort } of invocations.values()) abort.abort();
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, closePatienceMs);
      });
      await Promise.race([Promise.all([...running]), patience]);
      clearTimeout(timer);
    },
  };
};
