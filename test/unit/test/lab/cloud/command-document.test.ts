import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { documentOperations } from "#contract/documents.ts";
import { bindParameters, readCommandDocument } from "#lab/cloud/command-document.ts";

const content = (change: object = {}, inputs: object = {}): string =>
  JSON.stringify({
    schemaVersion: "2.2",
    parameters: {
      OperationId: { type: "String", interpolationType: "ENV_VAR", allowedPattern: "^[a-z0-9-]{1,40}$" },
      Mode: { type: "String", interpolationType: "ENV_VAR", allowedValues: ["plan", "apply"], default: "plan" },
    },
    mainSteps: [
      { action: "aws:runShellScript", name: "run", inputs: { runCommand: ['echo "$SSM_OperationId"'], ...inputs } },
    ],
    ...change,
  });
const document = readCommandDocument("doc", content());

describe("a document", () => {
  it.each([
    ["is not JSON", "{"],
    ["has another schema", content({ schemaVersion: "1.2" })],
    ["has another action", content({ mainSteps: [{ action: "aws:downloadContent", name: "x", inputs: {} }] })],
    [
      "has two steps",
      content({
        mainSteps: [1, 2].map(() => ({ action: "aws:runShellScript", name: "x", inputs: { runCommand: ["true"] } })),
      }),
    ],
    ["pastes a parameter into the script", content({}, { runCommand: ["echo {{ OperationId }}"] })],
    ["has a parameter that reaches no script", content({ parameters: { A: { type: "String" } } })],
    [
      "passes a list as a variable",
      content({ parameters: { A: { type: "StringList", interpolationType: "ENV_VAR" } } }),
    ],
    ["has a timeout of 0 seconds", content({}, { timeoutSeconds: 0 })],
    ["names a timeout parameter that it does not have", content({}, { timeoutSeconds: "{{ executionTimeout }}" })],
  ])("that %s is refused", (_, text) => {
    expect(() => readCommandDocument("doc", text)).toThrow(expect.objectContaining({ code: "InvalidDocument" }));
  });

  it.each(documentOperations)("of this project can be run: %s", (operation) => {
    const file = new URL(`../../../../../terraform/documents/${operation}.json`, import.meta.url);
    expect(readCommandDocument(operation, readFileSync(file, "utf8")).script.join("\n")).toContain(operation);
  });
});

describe("parameters", () => {
  it("reach the script as environment variables, defaults included", () => {
    expect(bindParameters(document, { OperationId: ["op-1"] })).toEqual({
      environment: { SSM_OperationId: "op-1", SSM_Mode: "plan" },
      timeoutSeconds: 3600,
    });
  });

  it.each([
    ["missing", {}],
    ["unknown", { OperationId: ["a"], Other: ["b"] }],
    ["inherited from Object", { OperationId: ["a"], constructor: ["b"] }],
    ["given twice", { OperationId: ["a", "b"] }],
    ["empty lists", { OperationId: [] }],
    ["outside the pattern", { OperationId: ["a; rm -rf /"] }],
    ["outside the allowed values", { OperationId: ["a"], Mode: ["destroy"] }],
  ])("that are %s are refused", (_, given) => {
    expect(() => bindParameters(document, given)).toThrow(expect.objectContaining({ code: "InvalidParameters" }));
  });

  it("may set the timeout and nothing else of the step", () => {
    const timed = readCommandDocument(
      "doc",
      content(
        { parameters: { executionTimeout: { type: "String", default: "60" } } },
        { runCommand: ["true"], timeoutSeconds: "{{ executionTimeout }}" },
      ),
    );
    expect(bindParameters(timed, {})).toEqual({ environment: {}, timeoutSeconds: 60 });
    expect(bindParameters(timed, { executionTimeout: ["5"] }).timeoutSeconds).toBe(5);
    expect(() => bindParameters(timed, { executionTimeout: ["forever"] })).toThrow("forever");
  });
});
