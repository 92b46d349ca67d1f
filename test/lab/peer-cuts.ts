import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { messageOf } from "#contract/failure-reasons.ts";
import { ensureNftables } from "./cache/index.ts";

/** Cuts between nodes, by dropping packets. */
export interface PeerCuts {
  /** No packet passes between the two addresses from now on, in either direction; open connections hang. */
  cut(one: string, other: string): Promise<void>;
  /** All cuts end. */
  heal(): Promise<void>;
}

/** The nftables commands that drop everything between pairs of addresses. A table of its own, replaced as a whole. */
export function cutRules(table: string, pairs: readonly (readonly [string, string])[]): string {
  const rules = pairs.flatMap(([one, other]) => [
    `    ip saddr ${one} ip daddr ${other} drop`,
    `    ip saddr ${other} ip daddr ${one} drop`,
  ]);
  // Naming the table first makes deleting it no error when it is not there.
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    ...(rules.length === 0
      ? []
      : [`table inet ${table} {`, "  chain input {", "    type filter hook input priority -10;", ...rules, "  }", "}"]),
    "",
  ].join("\n");
}

/** The table of a lab's cuts; the reaper deletes it when the lab dies. */
export const cutsTable = (labRun: string): string => `percona_lab_${labRun}`;

async function run(nft: string, args: readonly string[], input = ""): Promise<void> {
  const child = spawn(nft, args, { stdio: ["pipe", "ignore", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null]>;
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [complaint, [code]] = await Promise.all([text(child.stderr), ended]);
  if (code !== 0) throw new Error(`nft ${args.join(" ")} ended with exit code ${code}: ${complaint.trim()}`);
}

/** The program that cuts, tried. @throws when nodes cannot be cut from each other here, with what it needs. */
async function peerCutsProgram(): Promise<string> {
  try {
    const { nft } = await ensureNftables(() => {});
    await run(nft, ["list", "tables"]);
    return nft;
  } catch (error) {
    throw new Error(
      `nodes cannot be cut from each other: it needs root and a kernel with nftables: ${messageOf(error)}`,
    );
  }
}

/** Whether nodes can be cut from each other here; if not, why. */
export function peerCutsMissing(): Promise<string | undefined> {
  return peerCutsProgram().then(() => undefined, messageOf);
}

/**
 * Cuts for one lab.
 *
 * @param begins is told the program before the first cut, for whoever removes the table when the lab is killed.
 */
export function peerCuts(labRun: string, begins: (nft: string) => void = () => {}): PeerCuts {
  let pairs: (readonly [string, string])[] = [];
  let program: string | undefined;
  const apply = (nft: string): Promise<void> => run(nft, ["-f", "-"], cutRules(cutsTable(labRun), pairs));
  return {
    cut: async (one, other) => {
      if (program === undefined) {
        program = await peerCutsProgram();
        begins(program);
      }
      pairs.push([one, other]);
      await apply(program);
    },
    heal: async () => {
      if (program === undefined || pairs.length === 0) return;
      pairs = [];
      await apply(program);
    },
  };
}
