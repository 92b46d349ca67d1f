import { parseArgs } from "node:util";
import { messageOf } from "#contract/failure-reasons.ts";
import { highestNumber } from "../number.ts";

/** What was typed cannot be done; the message says what can. */
export class UsageError extends Error {
  override name = "UsageError";
}

export const usage = `Usage: npm run lab [-- COMMAND]

  (none)                       start a lab, show its status until Ctrl-C, take it down
  up                           start a lab in the background; returns when the cluster is healthy
  down                         take it down; nothing stays behind
  status                       nodes, roles, lag, target groups, topology record, last backup
  kill NODE [PROCESS]          cut the power of a node, or kill its mysqld, agent, bootstrap, haproxy or orchestrator
  start NODE                   boot it again
  stop NODE                    halt every process of it (SIGSTOP)
  cont NODE                    let them go on
  terminate NODE               terminate the instance; its group replaces it
  sql write|read|NODE [STATEMENT]
                               as the application through the load balancer, or as root on a node;
                               without a statement, MySQL's own client
  logs NODE [PROCESS] [-f]     journals of a node; -f follows them
  run ACTION [--input K=V]...  run a built action as a GitHub runner would, on this lab's cluster

Options:
  --lab N                      which lab, 1 to ${highestNumber}; each has its own addresses, 127.N.0.0/16
  --nodes 3|5                  size of a new lab (3)
  --engine agent|orchestrator  who notices that a primary of a new lab is dead (agent); Orchestrator is found by
                               ORCHESTRATOR_BIN or PATH
  --keep                       keep its data for the next start
  --json                       for programs`;

/** Options of all commands; each command takes some. */
const options = {
  lab: { type: "string" },
  nodes: { type: "string" },
  engine: { type: "string" },
  keep: { type: "boolean" },
  json: { type: "boolean" },
  follow: { type: "boolean", short: "f" },
  input: { type: "string", multiple: true },
  help: { type: "boolean", short: "h" },
} as const;

type OptionName = keyof typeof options;

/** Options and number of arguments of each command. */
const commands = {
  "": { takes: ["lab", "nodes", "engine", "keep"], least: 0, most: 0 },
  up: { takes: ["lab", "nodes", "engine", "keep", "json"], least: 0, most: 0 },
  daemon: { takes: ["lab", "nodes", "engine", "keep"], least: 0, most: 0 },
  down: { takes: ["lab", "json"], least: 0, most: 0 },
  status: { takes: ["lab", "json"], least: 0, most: 0 },
  kill: { takes: ["lab", "json"], least: 1, most: 2 },
  start: { takes: ["lab", "json"], least: 1, most: 1 },
  stop: { takes: ["lab", "json"], least: 1, most: 1 },
  cont: { takes: ["lab", "json"], least: 1, most: 1 },
  terminate: { takes: ["lab", "json"], least: 1, most: 1 },
  sql: { takes: ["lab", "json"], least: 1, most: 2 },
  logs: { takes: ["lab", "json", "follow"], least: 1, most: 2 },
  run: { takes: ["lab", "json", "input"], least: 1, most: 1 },
} as const satisfies Record<string, { takes: readonly OptionName[]; least: number; most: number }>;

export type CommandName = keyof typeof commands;

/** A command line that makes sense. */
export interface CommandLine {
  readonly command: CommandName | "help";
  readonly args: readonly string[];
  readonly lab?: number;
  readonly nodes?: 3 | 5;
  readonly engine?: "agent" | "orchestrator";
  readonly keep: boolean;
  readonly json: boolean;
  readonly follow: boolean;
  readonly inputs: Readonly<Record<string, string>>;
}

const isCommand = (word: string): word is CommandName => Object.hasOwn(commands, word);

/** Understands a command line. @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parse(argv);
  const [command = "", ...args] = positionals;
  if (values.help === true || command === "help") return { ...line("help", args), ...shared };
  if (!isCommand(command)) throw new UsageError(`There is no command ${command}.`);
  const { takes, least, most } = commands[command];
  const misplaced = Object.keys(values).filter((name) => !(takes as readonly string[]).includes(name));
  if (misplaced.length > 0) {
    throw new UsageError(
      `${command === "" ? "Without a command, the lab" : command} takes no --${misplaced.join(", --")}.`,
    );
  }
  if (args.length < least) throw new UsageError(`${command} wants ${command === "run" ? "an action" : "a node"}.`);
  if (args.length > most) throw new UsageError(`${command} takes no further argument: ${args.slice(most).join(" ")}`);
  return {
    ...line(command, args),
    ...(values.lab === undefined ? {} : { lab: labNumber(values.lab) }),
    ...(values.nodes === undefined ? {} : { nodes: nodeCount(values.nodes) }),
    ...(values.engine === undefined ? {} : { engine: engineName(values.engine) }),
    keep: values.keep ?? false,
    json: values.json ?? false,
    follow: values.follow ?? false,
    inputs: Object.fromEntries((values.input ?? []).map(keyAndValue)),
  };
}

const line = (command: CommandLine["command"], args: readonly string[]) => ({ command, args });
const shared = { keep: false, json: false, follow: false, inputs: {} } as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function labNumber(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > highestNumber) {
    throw new UsageError(`--lab ${text}: labs have numbers from 1 to ${highestNumber}.`);
  }
  return number;
}

function nodeCount(text: string): 3 | 5 {
  if (text === "3") return 3;
  if (text === "5") return 5;
  throw new UsageError(`--nodes ${text}: a lab has 3 or 5 nodes.`);
}

function engineName(text: string): "agent" | "orchestrator" {
  if (text === "agent" || text === "orchestrator") return text;
  throw new UsageError(`--engine ${text}: the engines are agent and orchestrator.`);
}

function keyAndValue(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`--input ${text}: give it as NAME=VALUE.`);
  return [text.slice(0, at), text.slice(at + 1)];
}
