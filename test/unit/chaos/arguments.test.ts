import { describe, expect, it } from "vitest";
import { parseArguments, UsageError } from "../../chaos/arguments.ts";
import { possibleKinds } from "../../chaos/run-chaos.ts";
import { faultKinds } from "../../chaos/schedule.ts";
import { outcomeOf } from "../../chaos/writers.ts";

describe("the command line", () => {
  it("has defaults, and a fresh seed each time", () => {
    const one = parseArguments([]);
    const other = parseArguments([]);
    expect(one).toMatchObject({ nodes: 3, minutes: 10, writers: 8, kinds: faultKinds, routing: "forward" });
    expect(one).not.toEqual(other);
  });

  it("takes numbers, kinds and the size", () => {
    const asked = parseArguments(["--minutes", "0.5", "--seed", "7", "--nodes", "5", "--only", "kill-node,switchover"]);
    expect(asked).toMatchObject({ minutes: 0.5, seed: 7, nodes: 5, kinds: ["kill-node", "switchover"] });
  });

  it("has no end in minutes when writes or faults are asked for", () => {
    expect(parseArguments(["--writes", "1000000", "--faults", "200"])).toMatchObject({
      minutes: Number.POSITIVE_INFINITY,
      writes: 1_000_000,
      faults: 200,
    });
  });

  it.each([
    [["--seed", "x"]],
    [["--writers", "1.5"]],
    [["--nodes", "4"]],
    [["--only", "fire"]],
    [["--routing", "dns"]],
    [["--more"]],
    [["stray"]],
  ])("refuses %j", (argv) => {
    expect(() => parseArguments(argv)).toThrow(UsageError);
  });
});

describe("what cannot be done on a machine", () => {
  const missing = { peerCutsMissing: async () => "no nft" };
  const there = { peerCutsMissing: async () => undefined };

  it("is left out loudly", async () => {
    const { kinds, leftOut } = await possibleKinds(missing, faultKinds, false);
    expect(faultKinds.filter((kind) => !kinds.includes(kind))).toEqual(["cut-peers", "cut-both", "full-disk"]);
    expect(leftOut).toHaveLength(3);
    expect(leftOut[0]).toBe("LEFT OUT cut-peers: no nft");
  });

  it("is nothing where everything is there", async () => {
    expect(await possibleKinds(there, faultKinds, true)).toEqual({ kinds: faultKinds, leftOut: [] });
  });
});

describe("a write that failed", () => {
  const failed = (code: string): Error => Object.assign(new Error(code), { code });

  it("is refused when the server says that it is read-only", () => {
    expect(outcomeOf(failed("ER_OPTION_PREVENTS_STATEMENT"))).toBe("refused");
  });

  it.each([
    "PROTOCOL_CONNECTION_LOST",
    "ECONNRESET",
    "PROTOCOL_SEQUENCE_TIMEOUT",
    "ER_QUERY_INTERRUPTED",
    "ER_SERVER_SHUTDOWN",
  ])("is unknown with %s", (code) => {
    expect(outcomeOf(failed(code))).toBe("unknown");
  });
});
