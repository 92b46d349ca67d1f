import * as v from "valibot";
import { Failure } from "#contract/failure-reasons.ts";
import type { Runner } from "./runner.ts";
import { plainLine, shortened } from "./text.ts";

/** Schemas of an action's inputs by their names; an input that is not set is `undefined`. */
export type InputSchemas = Readonly<Record<string, v.GenericSchema<string | undefined, unknown>>>;

/** What `readInputs` gives for given schemas. */
export type Inputs<S extends InputSchemas> = { readonly [Name in keyof S]: v.InferOutput<S[Name]> };

/**
 * Reads and checks all inputs at once.
 *
 * @throws Failure `bad-input` that names every input that is wrong, what is wrong with it, and what it is.
 */
export function readInputs<S extends InputSchemas>(runner: Pick<Runner, "input">, schemas: S): Inputs<S> {
  const values: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const [name, schema] of Object.entries(schemas)) {
    const text = runner.input(name);
    const result = v.safeParse(schema, text === "" ? undefined : text);
    if (result.success) values[name] = result.output;
    else wrong.push(describe(name, text, result.issues));
  }
  if (wrong.length > 0) throw new Failure("bad-input", { message: wrong.join(" ") });
  return values as Inputs<S>;
}

function describe(name: string, text: string, issues: readonly v.BaseIssue<unknown>[]): string {
  if (text === "") return `Input "${name}" is required.`;
  const why = issues.map((issue) => (issue.type === "picklist" ? `it is one of ${issue.expected}` : issue.message));
  return `Input "${name}" is "${shortened(plainLine(text), 80)}": ${why.join("; ")}.`;
}
