import * as v from "valibot";
import type { SeenInstance } from "#actions/lib/aws/instances.ts";
import { tookText } from "#actions/lib/operation/progress.ts";
import {
  failureOfEnded,
  failureParagraph,
  recordTable,
  stateLight,
  stateMeaning,
  stepsTable,
} from "#actions/lib/operation/report.ts";
import { markdownCode, markdownTable, markdownText, mermaidText, shortened } from "#actions/lib/text.ts";
import { OperationPlan, type OperationRecord, SwitchoverResult } from "#contract/operation.ts";
import { type Change, changeOf } from "./decided.ts";
import type { Outcome } from "./flow.ts";
import type { SwitchoverRequest } from "./request.ts";

type Judged = Exclude<Outcome, { is: "ended" }>;
type Ended = Extract<Outcome, { is: "ended" }>;

/** The job summary: the verdict first, then what a person needs to decide or to know, then the details. */
export const summaryOf = (outcome: Outcome, request: SwitchoverRequest, instances: readonly SeenInstance[]): string =>
  (outcome.is === "ended" ? endedSections(outcome, request) : planSections(outcome, request, instances))
    .filter((section) => section !== "")
    .join("\n\n")
    .concat("\n");

function planSections(outcome: Judged, request: SwitchoverRequest, instances: readonly SeenInstance[]): string[] {
  const { plan } = outcome;
  const change = changeOf(plan, instances);
  return [
    `## ${planVerdict(outcome, change, request.clusterId)}`,
    planSentence(outcome),
    refusals(plan),
    warnings(plan),
    plan.changes ? beforeAndAfter(change) : "",
    nodesTable(change),
    plan.changes ? picture(change) : "",
    plan.changes ? plannedSteps(plan) : "",
    observed(change),
    outcome.is === "planned" ? howToApply(plan, request) : "",
  ];
}

function planVerdict(outcome: Judged, { primary, candidate }: Change, clusterId: string): string {
  const cluster = markdownCode(clusterId);
  switch (outcome.is) {
    case "refused":
      return `🔴 ${cluster}: the switchover is refused: ${outcome.failure.reason}`;
    case "nothing-to-do":
      return `🟢 ${cluster}: ${candidate === undefined ? "nothing has to be changed" : `${markdownCode(candidate)} is the primary already`}`;
    case "planned":
      return primary === undefined || candidate === undefined
        ? `🔵 ${cluster}: the switchover can be done`
        : `🔵 ${cluster}: the primary will change from ${markdownCode(primary)} to ${markdownCode(candidate)}`;
  }
}

function planSentence(outcome: Judged): string {
  if (outcome.is === "refused") {
    return `**Nothing was changed.** ${markdownText(outcome.failure.message)} ${markdownText(outcome.failure.next)}`;
  }
  if (outcome.is === "nothing-to-do") return "**Nothing was changed**, because all is as it was asked for.";
  return "**Nothing was changed yet.** This is the plan.";
}

const refusals = ({ refusals, changes }: OperationPlan): string =>
  refusals.length === 0 || !changes
    ? ""
    : markdownTable(
        ["Refused because", ""],
        refusals.map(({ reason, message }) => [markdownCode(reason), markdownText(message)]),
      );

const warnings = (plan: OperationPlan): string =>
  plan.warnings.length === 0
    ? ""
    : ["> [!WARNING]", ...plan.warnings.map((text) => `> - ${markdownText(text)}`)].join("\n");

function beforeAndAfter({ primary, candidate, nodes }: Change): string {
  if (primary === undefined || candidate === undefined) return "";
  const named = (id: string): string => {
    const address = nodes.find((node) => node.id === id)?.address;
    return `${markdownCode(id)}${address === undefined ? "" : ` at ${markdownText(address)}`}`;
  };
  return markdownTable(
    ["", "Before", "After"],
    [
      ["Takes writes", named(primary), named(candidate)],
      ["Becomes a replica", "", named(primary)],
    ],
  );
}

function nodesTable({ nodes, primary, candidate }: Change): string {
  if (nodes.length === 0) return "";
  const facts = [...new Set(nodes.flatMap((node) => [...node.facts.keys()]))];
  return markdownTable(
    ["Node", "Address", ...facts.map((name) => markdownText(name.replaceAll("_", " "))), "Seen"],
    nodes.map(({ id, address, facts: of, seen }) => [
      `${markdownCode(id)}${id === primary ? " (primary)" : id === candidate ? " (next primary)" : ""}`,
      markdownText(address ?? "?"),
      ...facts.map((name) => markdownText(of.get(name) ?? "–")),
      markdownText(shortened(seen ?? "", 500)),
    ]),
  );
}

/** Decoration: it says nothing that the tables do not say. */
function picture({ nodes, primary, candidate }: Change): string {
  if (primary === undefined || candidate === undefined || nodes.length === 0) return "";
  const side = (title: string, prefix: string, leader: string): string[] => {
    const name = (id: string): string => `${prefix}${nodes.findIndex((node) => node.id === id)}`;
    return [
      `  subgraph ${title}`,
      ...nodes.map(({ id, address }) => {
        const role = id === leader ? "primary" : "replica";
        return `    ${name(id)}["${[role, id, address ?? ""].map(mermaidText).join("<br>")}"]`;
      }),
      ...nodes.filter(({ id }) => id !== leader).map(({ id }) => `    ${name(leader)} ==> ${name(id)}`),
      "  end",
    ];
  };
  const known = new Set(nodes.map(({ id }) => id));
  if (!known.has(primary) || !known.has(candidate)) return "";
  return [
    "```mermaid",
    "flowchart LR",
    ...side("before", "b", primary),
    ...side("after", "a", candidate),
    "  before --> after",
    "```",
  ].join("\n");
}

const plannedSteps = ({ steps, node }: OperationPlan): string =>
  [
    `Steps, run by ${markdownCode(node)}:`,
    "",
    ...steps.map(({ name, description }, index) => `${index + 1}. ${markdownCode(name)} ${markdownText(description)}`),
  ].join("\n");

function observed({ observed: seen, parameters }: Change): string {
  const rows = [
    ...seen.map(({ what, value }) => [markdownText(what), markdownText(shortened(value, 500))]),
    ...[...parameters].map(([name, value]) => [markdownText(name.replaceAll("_", " ")), markdownText(value)]),
  ];
  if (rows.length === 0) return "";
  const table = markdownTable(["What was seen, and the limits", ""], rows);
  return ["<details><summary>What was seen</summary>", "", table, "", "</details>"].join("\n");
}

const howToApply = (plan: OperationPlan, { withLines }: SwitchoverRequest): string =>
  [
    `Plan hash: ${markdownCode(plan.hash)}`,
    "",
    "To apply exactly this plan:",
    "",
    "```yaml",
    "uses: infrahouse/percona-actions/switchover@v1",
    "with:",
    ...withLines.map((line) => `  ${line}`),
    // Of two replicas that are as good, another may be the better one by then.
    ...(withLines.some((line) => line.startsWith("target:")) ? [] : [`  target: ${plan.node}`]),
    `  expected-plan-hash: ${plan.hash}`,
    "```",
  ].join("\n");

function endedSections(outcome: Ended, { clusterId }: SwitchoverRequest): string[] {
  const { record } = outcome;
  const result = resultOf(record);
  return [
    `## ${stateLight[record.state]} ${markdownCode(clusterId)}: ${endedVerdict(record, result)}`,
    endedSentence(outcome),
    result === undefined ? "" : resultTable(result),
    stepsTable(record),
    recordTable(record),
  ];
}

function endedVerdict(record: OperationRecord, result: SwitchoverResult | undefined): string {
  if (record.state !== "succeeded") return `the switchover ended as ${record.state}`;
  if (result === undefined) return "the switchover is done";
  const after = markdownCode(result.after.instance_id);
  return result.changed ? `${after} is the primary now` : `${after} was the primary already`;
}

function endedSentence({ record, before, topology }: Ended): string {
  const primary =
    topology === undefined
      ? ""
      : ` The recorded primary is ${markdownCode(topology.instance_id)}, fence ${topology.fence}.`;
  const failure = failureOfEnded(record);
  if (failure === undefined) {
    const when = before
      ? `It was done before, under the same operation id, and ended at ${record.ended_at ?? "an unknown time"}; **nothing was done now**.`
      : stateMeaning.succeeded;
    return `${when}${primary}`;
  }
  return `${failureParagraph(failure)} ${stateMeaning[record.state]}${primary}`;
}

function resultTable(result: SwitchoverResult): string {
  const side = ({ instance_id, private_ip, fence }: SwitchoverResult["before"]): string =>
    `${markdownCode(instance_id)} at ${markdownText(private_ip)}, fence ${fence}`;
  const counted = [
    ["Writes refused", result.writes_refused_ms === undefined ? undefined : tookText(result.writes_refused_ms)],
    ["Writes of the probe client answered with an error", result.probe_errors],
    ["Client sessions ended", result.sessions_ended],
    ["Events switched on again", result.events_enabled],
  ] as const;
  const figures = counted.filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]);
  return [
    markdownTable(["", "Before", "After"], [["Primary", side(result.before), side(result.after)]]),
    ...(figures.length === 0 ? [] : ["", markdownTable(["What clients noticed", ""], figures)]),
  ].join("\n");
}

/** The record's result; undefined when it has none of that form. */
export function resultOf({ result }: OperationRecord): SwitchoverResult | undefined {
  const parsed = v.safeParse(SwitchoverResult, result);
  return parsed.success ? parsed.output : undefined;
}

/** The plan that a record holds; undefined when it lies elsewhere. */
export function planOf({ plan }: OperationRecord): OperationPlan | undefined {
  try {
    const parsed = v.safeParse(OperationPlan, JSON.parse(plan ?? ""));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

/** The log: what the summary says, for a terminal. */
export function logLines(
  outcome: Outcome,
  { clusterId }: SwitchoverRequest,
  instances: readonly SeenInstance[],
): string[] {
  if (outcome.is !== "ended") {
    const { plan } = outcome;
    const { primary, candidate } = changeOf(plan, instances);
    return [
      `${clusterId}: ${plan.changes ? `${primary ?? "?"} -> ${candidate ?? "?"}` : "nothing has to be changed"}`,
      ...plan.refusals.map(({ reason, message }) => `   refused, ${reason}: ${message}`),
      ...plan.warnings.map((warning) => `   warning: ${warning}`),
      ...(plan.changes ? plan.steps.map(({ name, description }, at) => `   ${at + 1}. ${name}: ${description}`) : []),
    ];
  }
  const result = resultOf(outcome.record);
  if (result === undefined) return [];
  const refused =
    result.writes_refused_ms === undefined ? "" : `, writes refused for ${tookText(result.writes_refused_ms)}`;
  return [`${clusterId}: ${result.before.instance_id} -> ${result.after.instance_id}${refused}`];
}
