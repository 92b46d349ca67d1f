import { onTestFailed, type TestContext } from "vitest";
import { ports } from "#contract/ports.ts";
import type { TopologyRecord } from "#contract/topology.ts";
import type { Routing } from "#lab/cloud/index.ts";
import type { LabNode } from "#lab/controls.ts";
import { type Lab, type LabOptions, startLab } from "#lab/lab.ts";
import type { SqlLogin } from "#lab/sql.ts";

/** How clients reach the primary in the labs of this run: the project `registration` has the same files run the other way. */
export const testRouting: Routing = process.env.PERCONA_TEST_ROUTING === "registration" ? "registration" : "forward";

/** Starts a lab for one test file; set-up lines go to standard error when `PERCONA_LAB_VERBOSE` is set. */
export const startTestLab = (options: LabOptions = {}): Promise<Lab> =>
  startLab({
    routing: testRouting,
    report: (line) => {
      if (process.env.PERCONA_LAB_VERBOSE) process.stderr.write(`${line}\n`);
    },
    ...options,
  });

/** The last lines of every journal of every node, for the report of a test that failed. */
const journals = async (lab: Lab, lines: number): Promise<string> => {
  const parts: string[] = [];
  for (const node of await lab.nodes()) {
    for (const [unit, text] of Object.entries(await lab.logs(node.name))) {
      parts.push(`== ${node.name} ${node.instanceId} ${unit}\n${text.trimEnd().split("\n").slice(-lines).join("\n")}`);
    }
  }
  return parts.join("\n");
};

const printJournals = async (lab: Lab | undefined, lines: number): Promise<void> => {
  if (lab) process.stderr.write(`${await journals(lab, lines).catch((error: unknown) => String(error))}\n`);
};

/** Has the journals printed when the running test fails; for a lab that outlives its tests. */
export const printJournalsOnFailure = (lab: () => Lab | undefined, lines = 40): void => {
  onTestFailed(() => printJournals(lab(), lines));
};

/** Takes down the lab of one test, after its journals were printed when the test failed. */
export const endLab = async (lab: Lab | undefined, { task }: TestContext, lines = 60): Promise<void> => {
  if (task.result?.state === "fail") await printJournals(lab, lines);
  await lab?.down();
};

/** The recorded primary and the other running nodes. */
export interface Roles {
  readonly record: TopologyRecord;
  readonly primary: LabNode;
  readonly replicas: readonly LabNode[];
}

/** Reads the record and names the nodes by it. */
export const roles = async (lab: Lab): Promise<Roles> => {
  const record = await lab.topology();
  const nodes = await lab.nodes();
  const primary = nodes.find((node) => node.instanceId === record?.instance_id);
  if (!record || !primary)
    throw new Error(`The record names ${record?.instance_id ?? "nobody"}, who is not a node of the lab.`);
  return { record, primary, replicas: nodes.filter((node) => node !== primary) };
};

/** How the application logs in at the primary itself: a session through the balancer ends with the node that forwards it. */
export const loginAtPrimary = async (lab: Lab): Promise<SqlLogin> => ({
  ...(await lab.login("write")),
  place: { host: (await roles(lab)).primary.address, port: ports.mysql },
});

/** One row and column of a statement's answer, as text. */
export const value = async (lab: Lab, target: string, statement: string): Promise<string> => {
  const result = await lab.sql(target, statement);
  if (!("rows" in result)) throw new Error(`${statement} gave no rows.`);
  return String(Object.values(result.rows[0] ?? {})[0]);
};

/** Names of nodes that accept writes now: read of mysqld itself, not of the agents. */
export const writableNodes = async (lab: Lab): Promise<string[]> => {
  const found: string[] = [];
  for (const node of await lab.nodes()) {
    const writable = await value(lab, node.name, "SELECT NOT (@@global.read_only OR @@global.super_read_only)").catch(
      () => "0",
    );
    if (writable === "1") found.push(node.name);
  }
  return found;
};

/** Waits until a node's bootstrap has failed with this reason, and answers the agent's words about it. */
export const waitForFailure = async (lab: Lab, name: string, reason: string, deadlineMs = 60_000): Promise<string> => {
  let words = "";
  await lab.waitUntil(
    `${name} reports ${reason}`,
    async () => {
      const { problems } = await lab.status(name);
      words = problems.join(" | ");
      return words.includes(`${reason}:`) || `problems: ${words || "none"}`;
    },
    deadlineMs,
  );
  return words;
};
