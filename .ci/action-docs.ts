import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { failureReasons } from "../node-bin/lib/contract/failure-reasons.ts";
import { actionNames, repositoryRoot } from "../rolldown.config.ts";

interface ActionFile {
  readonly inputs?: Readonly<Record<string, ActionInput>>;
  readonly outputs?: Readonly<Record<string, { readonly description?: string }>>;
}

interface ActionInput {
  readonly description?: string;
  readonly required?: boolean;
  readonly default?: unknown;
}

/** The action whose `action.yml` lies in the root, because `uses: infrahouse/percona-actions@v1` is it. */
const rootAction = "status";

/** A README as it should be: the tables between its markers, made from its `action.yml`. */
export interface ActionReadme {
  /** Relative to the checkout. */
  readonly path: string;
  readonly actual: string;
  readonly expected: string;
}

/**
 * The README of every action, as it is and as it should be.
 *
 * @throws naming what has no description, a marker that is missing, or a failure reason that does not exist.
 */
export async function actionReadmes(root: string = repositoryRoot): Promise<ActionReadme[]> {
  return Promise.all(
    actionNames(root).map(async (name) => {
      const path = join("actions", name, "README.md");
      const file = name === rootAction ? "action.yml" : join("actions", name, "action.yml");
      const action = parse(await readFile(join(root, file), "utf8")) as ActionFile;
      const actual = await readFile(join(root, path), "utf8");
      return { path, actual, expected: fillIn(path, actual, action) };
    }),
  );
}

/** The README's text with its tables replaced. */
export function fillIn(path: string, readme: string, action: ActionFile): string {
  let text = between(path, readme, "inputs", inputsTable(action));
  text = between(path, text, "outputs", outputsTable(action));
  const reasons = /<!-- failure-reasons: ([a-z, -]+) -->/.exec(text)?.[1];
  if (reasons === undefined) throw new Error(`${path} has no line <!-- failure-reasons: a, b -->.`);
  return between(path, text, "failure-reasons-table", reasonsTable(path, reasons.split(/,\s*/)));
}

function between(path: string, text: string, marker: string, content: string): string {
  const [begin, end] = [`<!-- ${marker}-begin -->`, `<!-- ${marker}-end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} lacks the markers ${begin} and ${end}.`);
  return `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
}

const inputsTable = ({ inputs = {} }: ActionFile): string =>
  table(
    ["Input", "Required", "Default", "What it is"],
    Object.entries(inputs).map(([name, input]) => [
      `\`${name}\``,
      input.required === true ? "yes" : "no",
      input.default === undefined ? "" : `\`${String(input.default)}\``,
      described(name, input.description),
    ]),
  );

const outputsTable = ({ outputs = {} }: ActionFile): string =>
  table(
    ["Output", "What it is"],
    Object.entries(outputs).map(([name, output]) => [`\`${name}\``, described(name, output.description)]),
  );

function reasonsTable(path: string, names: readonly string[]): string {
  const known: Readonly<Record<string, { meaning: string; next: string } | undefined>> = failureReasons;
  return table(
    ["`failure-reason`", "What it means", "What to do next"],
    names.map((name) => {
      const reason = known[name];
      if (reason === undefined) throw new Error(`${path} names the failure reason ${name}, which does not exist.`);
      return [`\`${name}\``, reason.meaning, reason.next];
    }),
  );
}

function described(name: string, description: string | undefined): string {
  if (!description) throw new Error(`${name} has no description.`);
  return description.trim().replaceAll("\n", " ").replaceAll("|", "\\|");
}

/** With columns of one width each, as the formatter has it. */
function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...body].map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[], fill: string): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width, fill)).join(" | ")} |`;
  return [line(head, " "), line([], "-"), ...body.map((cells) => line(cells, " "))].join("\n");
}

if (import.meta.main) {
  for (const { path, actual, expected } of await actionReadmes()) {
    if (actual === expected) continue;
    await writeFile(join(repositoryRoot, path), expected);
    console.log(`${path} was brought up to date.`);
  }
}
