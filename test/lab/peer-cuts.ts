import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

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
export const cutsTable = (run: string): string => `percona_lab_${run}`;

async function nft(args: readonly string[], input = ""): Promise<void> {
  const child = spawn("nft", args, { stdio: ["pipe", "ignore", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null]>;
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [complaint, [code]] = await Promise.all([text(child.stderr), ended]);
  if (code !== 0) throw new Error(`nft ${args.join(" ")} ended with exit code ${code}: ${complaint.trim()}`);
}

/** Whether nodes can be cut from each other here; if not, why. */
export async function peerCutsMissing(): Promise<string | undefined> {
  try {
    await nft(["list", "tables"]);
    return undefined;
  } catch (error) {
    return `nodes cannot be cut from each other: nftables with root are needed (apt-get install nftables): ${error instanceof Error ? error.message : error}`;
  }
}

/** Cuts for one lab. */
export function peerCuts(run: string): PeerCuts {
  let pairs: (readonly [string, string])[] = [];
  const apply = (): Promise<void> => nft(["-f", "-"], cutRules(cutsTable(run), pairs));
  return {
    cut: async (one, other) => {
      pairs.push([one, other]);
      await apply();
    },
    heal: async () => {
      if (pairs.length === 0) return;
      pairs = [];
      await apply();
    },
  };
}
