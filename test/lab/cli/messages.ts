import { ports } from "#contract/ports.ts";
import type { MemoryUse } from "../controls.ts";
import type { LabDescription } from "../state.ts";
import { sizeText } from "../tables.ts";

/** One line for a phase of the start. */
export const phaseLine = (phase: string, seconds: number): string =>
  `  ${phase.padEnd(24)}${seconds.toFixed(1).padStart(6)} s`;

/** Memory of everything, for people. */
export function memoryText({ nodes, aws, lab }: MemoryUse): string {
  const each = Object.entries(nodes).map(([name, bytes]) => `${name} ${sizeText(bytes)}`);
  const sum = Object.values(nodes).reduce((total, bytes) => total + bytes, 0);
  return `memory: ${sizeText(sum)} for the nodes (${each.join(", ")}), ${sizeText(aws)} for AWS, ${sizeText(lab)} for the lab`;
}

/** Where things are and what to try, once a lab is up. `where` says from where, if not from the same terminal. */
export function welcome(description: LabDescription, alone: boolean, where = ""): string {
  const { cluster, endpoint, number } = description;
  const lab = (command: string): string => `  npm run lab -- ${command}${alone ? "" : ` --lab ${number}`}`;
  return `
writes      ${cluster.loadBalancerAddress}:${ports.balancerWrite}
reads       ${cluster.loadBalancerAddress}:${ports.balancerRead}
AWS         ${endpoint}, region ${description.region}
state       ${description.paths.directory}

try${where}
${[
  lab('sql write "CREATE TABLE t (id INT PRIMARY KEY)"'),
  lab("sql read"),
  lab("kill n1 mysqld"),
  lab("status"),
  lab("run status"),
  lab("run switchover --input mode=apply"),
  lab("down"),
].join("\n")}
`;
}
