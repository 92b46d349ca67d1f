import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { Region, regionFrom } from "#actions/lib/aws/clients.ts";
import { Duration, forPeople } from "#actions/lib/duration.ts";
import { readInputs } from "#actions/lib/inputs.ts";
import { Failure } from "#contract/failure-reasons.ts";
import { ClusterId } from "#contract/names.ts";

const schemas = {
  "cluster-id": v.optional(ClusterId),
  "aws-region": v.optional(Region),
  mode: v.optional(v.picklist(["plan", "apply"]), "plan"),
  timeout: v.optional(Duration("10s", "1h"), "2m"),
  target: v.string(),
};

const read = (inputs: Record<string, string>) => readInputs({ input: (name) => inputs[name] ?? "" }, schemas);

const refusal = (inputs: Record<string, string>): Failure => {
  try {
    read(inputs);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("It was not refused.");
};

describe("readInputs", () => {
  it("gives values of the schemas' types, with their defaults", () => {
    expect(read({ target: "x", "cluster-id": "orders" })).toEqual({
      "cluster-id": "orders",
      "aws-region": undefined,
      mode: "plan",
      timeout: 120_000,
      target: "x",
    });
  });

  it.each([
    [{}, 'Input "target" is required.'],
    [{ target: "x", "cluster-id": "Orders" }, 'Input "cluster-id" is "Orders": a cluster id has lower-case'],
    [{ target: "x", "cluster-id": "a".repeat(33) }, "at most 32 characters"],
    [{ target: "x", "aws-region": "Ireland" }, 'Input "aws-region" is "Ireland": a region looks like eu-west-1.'],
    [{ target: "x", mode: "dry" }, 'Input "mode" is "dry": it is one of ("plan" | "apply").'],
    [{ target: "x", timeout: "5" }, 'Input "timeout" is "5": a duration is'],
    [{ target: "x", timeout: "9s" }, "from 10s to 1h"],
    [{ target: "x", timeout: "2h" }, "from 10s to 1h"],
  ])("refuses %j", (inputs, message) => {
    const failure = refusal(inputs);
    expect(failure.reason).toBe("bad-input");
    expect(failure.message).toContain(message);
  });

  it("names all wrong inputs at once", () => {
    expect(refusal({ mode: "x", timeout: "y" }).message).toMatch(/"mode".*"timeout".*"target"/);
  });

  it("shows what was given as harmless text of limited length", () => {
    const { message } = refusal({ target: "x", "cluster-id": `::error::\n${"x".repeat(500)}` });
    expect(message).not.toMatch(/^::|\n/);
    expect(message.length).toBeLessThan(400);
  });
});

describe("the region", () => {
  it.each([
    ["eu-west-1", { AWS_REGION: "us-east-1" }, "eu-west-1"],
    [undefined, { AWS_REGION: "us-east-1", AWS_DEFAULT_REGION: "us-west-2" }, "us-east-1"],
    [undefined, { AWS_REGION: "", AWS_DEFAULT_REGION: "us-west-2" }, "us-west-2"],
  ])("of input %s and environment %j is %s", (input, env, region) => {
    expect(regionFrom(input, env)).toBe(region);
  });

  it("is asked for when there is none", () => {
    expect(() => regionFrom(undefined, {})).toThrow('"aws-region" is not set');
  });
});

it.each([
  [0, "0 s"],
  [119_400, "119 s"],
  [180_000, "3 min"],
  [3 * 3_600_000, "3 h"],
  [72 * 3_600_000, "3 d"],
])("%i ms is %s", (ms, text) => {
  expect(forPeople(ms)).toBe(text);
});
