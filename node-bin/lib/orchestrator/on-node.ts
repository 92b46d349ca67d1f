import { accountNames } from "#contract/credentials.ts";
import { makeOrchestratorClient, type OrchestratorClient } from "./client.ts";
import { type OrchestratorConfigFile, orchestratorConfigFile } from "./config-file.ts";

/** The Orchestrator of one node, and those of the others as far as one has to know whether they live. */
export interface NodeOrchestrator {
  readonly client: OrchestratorClient;
  readonly config: OrchestratorConfigFile;
  /** Whether the Orchestrator of the node at this address answers. */
  answersAt(address: string): Promise<boolean>;
}

/** What is passed on to the one that leads may take a while, milliseconds. */
const ownTimeoutMs = 3000;
/** How long another one may take to say that it is there, milliseconds. */
const otherTimeoutMs = 1000;

/** Orchestrator on the node with this address. */
export const nodeOrchestrator = (options: {
  readonly address: string;
  readonly configFile: string;
  /** Of its API. */
  readonly password: () => Promise<string>;
}): NodeOrchestrator => {
  const { address, password } = options;
  const clientOf = (target: string, timeoutMs: number): OrchestratorClient =>
    makeOrchestratorClient({
      address: target,
      sourceAddress: address,
      user: accountNames.orchestrator,
      password,
      timeoutMs,
    });
  const others = new Map<string, OrchestratorClient>();
  return {
    client: clientOf(address, ownTimeoutMs),
    config: orchestratorConfigFile(options.configFile),
    answersAt: async (other) => {
      const client = others.get(other) ?? clientOf(other, otherTimeoutMs);
      others.set(other, client);
      return client.leads().then(
        () => true,
        () => false,
      );
    },
  };
};
