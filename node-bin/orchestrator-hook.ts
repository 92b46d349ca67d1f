import { join } from "node:path";
import * as v from "valibot";
import { AttemptAnswer } from "#contract/agent-api.ts";
import { describeFailure, Failure } from "#contract/failure-reasons.ts";
import { makeAgentClient } from "./lib/agent-client/client.ts";
import { makeAws } from "./lib/aws/clients.ts";
import { makeMetadata, metadataOverHttp } from "./lib/aws/metadata.ts";
import { makeSecrets } from "./lib/aws/secrets.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { highestFenceFiles, openHighestFence } from "./lib/host/highest-fence.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { version } from "./lib/host/version.ts";
import { hookAction } from "./lib/orchestrator/hook-action.ts";
import { HookName, readHookEvent } from "./lib/orchestrator/hook-event.ts";

const usage = `Usage: orchestrator-hook EVENT

What Orchestrator calls on every event, with the event's values in variables ORC_*. In PreFailover and PreGracefulTakeover
an error aborts what Orchestrator is about to do.

  EVENT       ${HookName.options.join(", ")}
  --help      this text
  --version   the version`;

/**
 * How long the agent may take, milliseconds. Less than RecoveryPeriodBlockSeconds, 30 s, after which Orchestrator begins a second
 * recovery beside the first.
 */
const agentTimeoutMs = 20_000;

const log = makeLog("orchestrator-hook");

/** Sends one command to this node's own agent, under the highest fence that the node has seen. */
const tellAgent = async (name: "attempt" | "conclude", body: unknown): Promise<unknown> => {
  const config = await readNodeConfig();
  const identity = await makeMetadata(metadataOverHttp()).identity();
  const secrets = makeSecrets(makeAws({ region: config.region, sourceAddress: identity.privateIp }));
  const agent = makeAgentClient({
    sourceAddress: identity.privateIp,
    timeoutMs: agentTimeoutMs,
    key: async () => (await secrets.readCredentials(config.credentials_secret)).agent,
  });
  const files = {
    agent: join(config.state_dir, highestFenceFiles.agent),
    bootstrap: join(config.state_dir, highestFenceFiles.bootstrap),
  };
  for (let left = 3; ; left -= 1) {
    const fence = await openHighestFence(files.agent, [files.bootstrap]);
    try {
      return await agent.command(identity.privateIp, name, fence.current(), body);
    } catch (error) {
      // It may have grown since it was read: an attempt for this very recovery may be under way.
      if (!(error instanceof Failure && error.reason === "superseded") || left === 0) throw error;
    }
  }
};

const veto = (because: string): Failure =>
  new Failure("no-safe-candidate", {
    message: `Vetoed: ${because}.`,
    changed: "Orchestrator changes nothing; what the agent did stands in its own log.",
    next: "Read the status of the cluster.",
  });

const handle = async (name: string | undefined): Promise<void> => {
  const event = readHookEvent(name, process.env);
  const action = hookAction(event);
  const about = `${event.name} ${event.failureType} of ${event.failedHost}, recovery ${event.uid ?? "(none)"}`;
  switch (action.do) {
    case "log":
      return log.info(`${about}: ${action.because}.`);
    case "veto":
      throw veto(`${about}: ${action.because}`);
    case "attempt": {
      const answer = v.parse(AttemptAnswer, await tellAgent("attempt", action.body));
      if (!answer.allowed) throw veto(`${about}: ${answer.because}`);
      return log.info(`${about}: allowed, ${answer.because}`);
    }
    case "conclude":
      await tellAgent("conclude", action.body);
      return log.info(`${about}: the agent knows that it ${event.successful ? "succeeded" : "failed"}.`);
  }
};

runMain(log, async () => {
  const [name, ...rest] = process.argv.slice(2);
  if (name === "--version" || name === "--help") {
    process.stdout.write(`${name === "--help" ? usage : version}\n`);
    return;
  }
  if (rest.length > 0) throw new Failure("bad-input", { message: `${name} takes no further arguments.\n${usage}` });
  try {
    await handle(name);
  } catch (error) {
    // An error at the detection would keep Orchestrator from the recovery; whether that may be is PreFailover's question.
    if (name !== ("OnFailureDetection" satisfies HookName)) throw error;
    log.error(describeFailure(error));
  }
});
