import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import { defaultNodeConfigPath, NodeConfig, nodeConfigVariable } from "#contract/node-config.ts";

/** Reads and validates the node's configuration file. Errors: `bad-input` with the file and every wrong key. */
export const readNodeConfig = async (environment: NodeJS.ProcessEnv = process.env): Promise<NodeConfig> => {
  const path = environment[nodeConfigVariable] ?? defaultNodeConfigPath;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Failure("bad-input", { message: `The node configuration ${path} cannot be read.`, cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Failure("bad-input", { message: `The node configuration ${path} is not JSON.`, cause });
  }
  const parsed = v.safeParse(NodeConfig, json);
  if (parsed.success) return parsed.output;
  const wrong = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "(whole file)"}: ${issue.message}`).join("; ");
  throw new Failure("bad-input", { message: `The node configuration ${path} is wrong: ${wrong}.` });
};
