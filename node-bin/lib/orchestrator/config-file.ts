import { readFile, stat } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { accountNames } from "#contract/credentials.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { PrivateIp } from "#contract/names.ts";
import { readIfThere, writeDurably } from "../host/files.ts";

/** Only its owner may read a file with a password. */
const ownersOnly = 0o600;

/** The settings that are kept in step by a node itself; all others are the template's. */
const OwnSettings = v.looseObject({
  RaftNodes: v.array(PrivateIp),
  HTTPAuthPassword: v.string(),
  MySQLTopologyCredentialsConfigFile: v.pipe(v.string(), v.startsWith("/")),
});

/** What a node sets in Orchestrator's configuration. */
export interface OrchestratorSettings {
  /** Addresses of all peers, sorted. */
  readonly raftNodes: readonly string[];
  /** Of its HTTP interface and of its MySQL account, the secret's `orchestrator`. */
  readonly password: string;
}

/** Orchestrator's configuration file. Errors: `bad-input` when it is missing or is not what the template gives. */
export interface OrchestratorConfigFile {
  raftNodes(): Promise<string[]>;
  /**
   * Writes what differs, durably, with everything else kept. True when something was written: Orchestrator reads it at its
   * next start.
   */
  write(settings: Partial<OrchestratorSettings>): Promise<boolean>;
}

const wrong = (path: string, what: string, cause?: unknown): Failure =>
  new Failure("bad-input", {
    message: `Orchestrator's configuration ${path} ${what}.`,
    next: "Let Puppet write it again. Running it again is safe.",
    cause,
  });

const readSettings = async (path: string): Promise<v.InferOutput<typeof OwnSettings>> => {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw wrong(path, "cannot be read", cause);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which has a password.
    throw wrong(path, "is not JSON");
  }
  const parsed = v.safeParse(OwnSettings, json);
  if (parsed.success) return parsed.output;
  throw wrong(path, `lacks or has wrong: ${parsed.issues.map((issue) => v.getDotPath(issue)).join(", ")}`);
};

/** The option file with the account's password, in the form that Orchestrator's parser reads. */
const credentialsText = (password: string): string => {
  const quoted = `"${password.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  return `[client]\nuser = ${accountNames.orchestrator}\npassword = ${quoted}\n`;
};

/** Writes a file unless it has this text and is its owner's alone. */
const writeIfOther = async (path: string, text: string): Promise<boolean> => {
  if ((await readIfThere(path)) === text && ((await stat(path)).mode & 0o077) === 0) return false;
  await writeDurably(path, text, ownersOnly);
  return true;
};

/** The configuration file at this path. */
export const orchestratorConfigFile = (path: string): OrchestratorConfigFile => ({
  raftNodes: async () => (await readSettings(path)).RaftNodes,
  write: async ({ raftNodes, password }) => {
    const before = await readSettings(path);
    const after = {
      ...before,
      ...(raftNodes === undefined ? {} : { RaftNodes: [...raftNodes] }),
      ...(password === undefined ? {} : { HTTPAuthPassword: password }),
    };
    // Orchestrator would put an environment variable in the place of such a password.
    if (password !== undefined && /\$\{.*\}/.test(password)) {
      throw new Failure("credentials-missing", {
        message: `The secret's password of ${accountNames.orchestrator} has \${…} in it, which Orchestrator takes for a variable's name.`,
      });
    }
    const credentials =
      password !== undefined &&
      (await writeIfOther(after.MySQLTopologyCredentialsConfigFile, credentialsText(password)));
    const readable = ((await stat(path)).mode & 0o077) !== 0;
    if (isDeepStrictEqual(before, after) && !readable) return credentials;
    await writeDurably(path, `${JSON.stringify(after, null, 2)}\n`, ownersOnly);
    return true;
  },
});
