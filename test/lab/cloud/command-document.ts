import * as v from "valibot";
import { parameterVariable } from "#contract/documents.ts";
import { AwsError } from "./aws-error.ts";

const ParameterType = v.picklist(["String", "StringList", "Boolean", "Integer", "StringMap", "MapList"]);

const Parameter = v.looseObject({
  type: ParameterType,
  description: v.optional(v.string()),
  default: v.optional(v.unknown()),
  allowedValues: v.optional(v.array(v.string())),
  allowedPattern: v.optional(v.string()),
  minChars: v.optional(v.number()),
  maxChars: v.optional(v.number()),
  interpolationType: v.optional(v.picklist(["ENV_VAR"])),
});
type Parameter = v.InferOutput<typeof Parameter>;

const Document = v.object({
  schemaVersion: v.literal("2.2"),
  description: v.optional(v.string()),
  parameters: v.optional(v.record(v.string(), Parameter), {}),
  mainSteps: v.strictTuple([
    v.object({
      action: v.literal("aws:runShellScript"),
      name: v.string(),
      precondition: v.optional(v.unknown()),
      inputs: v.object({
        runCommand: v.union([v.string(), v.array(v.string())]),
        timeoutSeconds: v.optional(v.union([v.string(), v.number()])),
      }),
    }),
  ]),
});

/** A Command document that the lab can run. */
export interface CommandDocument {
  readonly stepName: string;
  readonly script: readonly string[];
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** Seconds, or the name of the parameter that says so. */
  readonly timeout: number | { readonly parameter: string };
}

/** Default and longest execution, seconds (AWS Systems Manager, aws:runShellScript). */
const defaultTimeoutSeconds = 3600;
const maxTimeoutSeconds = 172_800;

const unusable = (name: string, why: string): AwsError =>
  new AwsError("InvalidDocument", `${name}: ${why}. Nothing was run. Correct the document and send the command again.`);

const readTimeout = (name: string, given: string | number | undefined): CommandDocument["timeout"] => {
  if (given === undefined) return defaultTimeoutSeconds;
  const parameter = /^\{\{\s*(\w+)\s*\}\}$/.exec(String(given))?.[1];
  if (parameter !== undefined) return { parameter };
  return checkedTimeout(String(given), (why) => unusable(name, why));
};

const checkedTimeout = (given: string, refuse: (why: string) => AwsError): number => {
  const seconds = Number(given);
  if (!/^\d+$/.test(given) || seconds < 1 || seconds > maxTimeoutSeconds) {
    throw refuse(`the execution timeout '${given}' is not a whole number of seconds from 1 to ${maxTimeoutSeconds}`);
  }
  return seconds;
};

/**
 * Reads a Command document of schema 2.2 with one aws:runShellScript step. Documents that would have parameters pasted into the
 * script are refused, because that lets a value run as a command.
 *
 * @throws AwsError `InvalidDocument`
 */
export const readCommandDocument = (name: string, content: string): CommandDocument => {
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw unusable(name, `the content is not JSON (${error instanceof Error ? error.message : error})`);
  }
  const read = v.safeParse(Document, json);
  if (!read.success) {
    const [issue] = read.issues;
    throw unusable(
      name,
      `the lab runs documents of schema 2.2 with exactly one aws:runShellScript step; ${v.getDotPath(issue) ?? "document"}: ${issue.message}`,
    );
  }
  const { parameters, mainSteps } = read.output;
  const [{ name: stepName, inputs }] = mainSteps;
  const script = typeof inputs.runCommand === "string" ? [inputs.runCommand] : inputs.runCommand;
  const pasted = script.find((line) => line.includes("{{"));
  if (pasted !== undefined) {
    throw unusable(
      name,
      `runCommand pastes a parameter into the script (${pasted.trim()}). Give the parameter interpolationType ENV_VAR and read $${parameterVariable("<name>")}`,
    );
  }
  const timeout = readTimeout(name, inputs.timeoutSeconds);
  for (const [parameter, definition] of Object.entries(parameters)) {
    const isTimeout = typeof timeout === "object" && timeout.parameter === parameter;
    if (definition.interpolationType === "ENV_VAR" ? definition.type !== "String" : !isTimeout) {
      throw unusable(name, `the parameter ${parameter} needs type String and interpolationType ENV_VAR`);
    }
  }
  if (typeof timeout === "object" && parameters[timeout.parameter] === undefined) {
    throw unusable(name, `timeoutSeconds names the parameter ${timeout.parameter}, which is not defined`);
  }
  return { stepName, script, parameters, timeout };
};

/** What a command needs besides its script. */
export interface BoundParameters {
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
}

const refused = (why: string): AwsError => new AwsError("InvalidParameters", `${why}. Nothing was run.`);

const checkValue = (name: string, definition: Parameter, value: string): void => {
  if (definition.type === "Integer" && !/^-?\d+$/.test(value))
    throw refused(`Parameter ${name}: '${value}' is not an integer`);
  if (definition.type === "Boolean" && value !== "true" && value !== "false") {
    throw refused(`Parameter ${name}: '${value}' is not true or false`);
  }
  if (definition.allowedValues !== undefined && !definition.allowedValues.includes(value)) {
    throw refused(`Parameter ${name}: '${value}' is not one of ${definition.allowedValues.join(", ")}`);
  }
  // Not anchored here: a pattern without ^ and $ must show its weakness in the lab.
  if (definition.allowedPattern !== undefined && !new RegExp(definition.allowedPattern).test(value)) {
    throw refused(`Parameter ${name}: '${value}' does not match ${definition.allowedPattern}`);
  }
  if (definition.minChars !== undefined && value.length < definition.minChars) {
    throw refused(`Parameter ${name} has fewer than ${definition.minChars} characters`);
  }
  if (definition.maxChars !== undefined && value.length > definition.maxChars) {
    throw refused(`Parameter ${name} has more than ${definition.maxChars} characters`);
  }
};

/**
 * Checks the values of a command against its document, and puts them where the script finds them.
 *
 * @throws AwsError `InvalidParameters` for an unknown, missing, repeated or unacceptable value.
 */
export const bindParameters = (
  document: CommandDocument,
  given: Readonly<Record<string, readonly string[]>>,
): BoundParameters => {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(document.parameters, name));
  if (unknown.length > 0) throw refused(`The document has no parameter ${unknown.join(", ")}`);
  const environment: Record<string, string> = {};
  let timeoutSeconds = typeof document.timeout === "number" ? document.timeout : defaultTimeoutSeconds;
  for (const [name, definition] of Object.entries(document.parameters)) {
    const values = given[name] ?? (definition.default === undefined ? undefined : [String(definition.default)]);
    if (values === undefined) throw refused(`Parameter ${name} is required`);
    const [value, ...more] = values;
    if (value === undefined || more.length > 0)
      throw refused(`Parameter ${name} takes one value, ${values.length} were given`);
    checkValue(name, definition, value);
    if (definition.interpolationType === "ENV_VAR") environment[parameterVariable(name)] = value;
    if (typeof document.timeout === "object" && document.timeout.parameter === name) {
      timeoutSeconds = checkedTimeout(value, refused);
    }
  }
  return { environment, timeoutSeconds };
};
