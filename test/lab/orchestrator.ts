import { accessSync, constants } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { accountNames } from "#contract/credentials.ts";
import { ports } from "#contract/ports.ts";
import { renderTemplate } from "./option-file.ts";

const templatePath = fileURLToPath(new URL("../../puppet/templates/orchestrator.conf.json.epp", import.meta.url));

/** Says where the program was looked for. */
export const orchestratorMissing = "Orchestrator is neither on PATH nor named by ORCHESTRATOR_BIN";

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The program: `ORCHESTRATOR_BIN`, or the first on PATH; undefined when there is none. */
export function orchestratorProgram(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env.ORCHESTRATOR_BIN;
  if (named !== undefined && named !== "") return named;
  return (env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, accountNames.orchestrator))
    .find(isProgram);
}

/** One node's Orchestrator. */
export interface LabOrchestrator {
  /** The node's own address. */
  readonly address: string;
  /** Holds its database and raft's. */
  readonly folder: string;
  /** The hook script, compiled. */
  readonly hook: string;
  /** Port of the mysqld at its address, when it is not the usual one. */
  readonly mysqlPort?: number;
}

/** Orchestrator's configuration on a node in the lab: production's template. The agent adds the peers and the password. */
export async function labOrchestratorConfig({ address, folder, hook, mysqlPort }: LabOrchestrator): Promise<string> {
  return renderTemplate(await readFile(templatePath, "utf8"), {
    address,
    http_port: ports.orchestratorHttp,
    raft_port: ports.orchestratorRaft,
    mysql_port: mysqlPort ?? ports.mysql,
    account: accountNames.orchestrator,
    data_dir: folder,
    credentials_file: join(folder, "orchestrator.cnf"),
    hook,
  });
}
