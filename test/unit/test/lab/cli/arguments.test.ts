import { describe, expect, it } from "vitest";
import { parseCommandLine, UsageError, usage } from "#lab/cli/arguments.ts";

const parse = (text: string) => parseCommandLine(text === "" ? [] : text.split(" "));

describe("a command line of the lab", () => {
  it("without a command is the lab in the foreground", () => {
    expect(parse("")).toMatchObject({ command: "", keep: false, json: false });
    expect(parse("--nodes 5 --lab 7 --keep")).toMatchObject({ command: "", nodes: 5, lab: 7, keep: true });
  });

  it.each([
    ["kill n1", { command: "kill", args: ["n1"] }],
    ["kill n1 mysqld --json", { command: "kill", args: ["n1", "mysqld"], json: true }],
    ["logs n2 agent -f", { command: "logs", args: ["n2", "agent"], follow: true }],
    ["sql write", { command: "sql", args: ["write"] }],
    ["run status --input a=1 --input b=x=y", { command: "run", args: ["status"], inputs: { a: "1", b: "x=y" } }],
    ["status --help", { command: "help" }],
  ])("%s", (text, expected) => {
    expect(parse(text)).toMatchObject(expected);
  });

  it.each([
    ["explode", "explode"],
    ["status --wrong", "--wrong"],
    ["kill", "wants a node"],
    ["kill n1 mysqld now", "now"],
    ["down --nodes 5", "--nodes"],
    ["--json", "--json"],
    ["up --nodes 4", "3 or 5"],
    ["up --lab 0", "1 to 99"],
    ["up --lab 1.5", "1 to 99"],
    ["run status --input novalue", "NAME=VALUE"],
    ["constructor", "constructor"],
  ])("'%s' is refused and the message says %s", (text, words) => {
    expect(() => parse(text)).toThrow(UsageError);
    expect(() => parse(text)).toThrow(words);
  });

  it("is explained for every command that people use", () => {
    for (const command of "up down status kill start stop cont terminate sql logs run".split(" ")) {
      expect(usage).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
    }
  });
});
