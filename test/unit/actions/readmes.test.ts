import { describe, expect, it } from "vitest";
import { actionReadmes, fillIn } from "../../../.ci/action-docs.ts";

describe("the READMEs of the actions", () => {
  it("say what their action.yml says (otherwise: node .ci/action-docs.ts)", async () => {
    const readmes = await actionReadmes();
    expect(readmes.map(({ path }) => path)).toContain("actions/status/README.md");
    for (const { actual, expected } of readmes) expect(actual).toBe(expected);
  });

  it("have their sections in one order", async () => {
    for (const { actual } of await actionReadmes()) {
      expect(actual.match(/^## .*$/gm)).toEqual([
        "## What it does",
        "## What it never does",
        "## Permissions",
        "## Usage",
        "## Inputs",
        "## Outputs",
        "## Failure reasons",
        "## Recovery",
      ]);
    }
  });
});

const template = [
  "<!-- inputs-begin -->",
  "<!-- inputs-end -->",
  "<!-- outputs-begin -->",
  "<!-- outputs-end -->",
  "<!-- failure-reasons: timed-out -->",
  "<!-- failure-reasons-table-begin -->",
  "<!-- failure-reasons-table-end -->",
].join("\n");

describe("fillIn", () => {
  it("refuses an input without a description", () => {
    expect(() => fillIn("x", template, { inputs: { a: {} } })).toThrow("a has no description");
  });

  it("refuses a failure reason that does not exist", () => {
    expect(() => fillIn("x", template.replace("timed-out", "too-late"), {})).toThrow("too-late, which does not exist");
  });

  it("refuses a README without markers", () => {
    expect(() => fillIn("x", "", {})).toThrow("lacks the markers");
  });

  it("replaces what was there before", () => {
    const action = { inputs: { a: { description: "old | text" } } };
    const once = fillIn("x", template, action);
    expect(once).toContain("| `a`   | no       |         | old \\| text |");
    expect(fillIn("x", once, action)).toBe(once);
  });
});
