import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { freshSeed } from "../chaos/arguments.ts";
import { saveHistory, summary } from "../chaos/report.ts";
import { type ChaosResult, runChaos } from "../chaos/run-chaos.ts";
import { faultKinds } from "../chaos/schedule.ts";
import { printJournalsOnFailure, startTestLab } from "./lab-fixture.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab, 20));

/** The schedule that is the same in every run. */
const fixedSeed = 46_017;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const oneMinute = async (seed: number): Promise<ChaosResult> => {
  say(`chaos for a minute with seed ${seed}`);
  const result = await runChaos(lab, { seed, writers: 8, perSecond: 100, kinds: faultKinds, minutes: 1, say });
  say(summary(result));
  if (result.violations.length > 0) say(`the whole history is in ${await saveHistory(lab, result)}`);
  return result;
};

/** A minute of faults, and until the last one is healed and its cluster healthy. */
const deadlineMs = 480_000;

describe("a cluster that is broken in one way after the other while clients write", () => {
  it.each([
    ["with the schedule of every run", fixedSeed],
    ["with a fresh schedule", freshSeed()],
  ])(
    "keeps what it acknowledged, has one writer at a time, and is healthy after each fault, %s",
    async (_, seed) => {
      const result = await oneMinute(seed);
      expect(result.violations).toEqual([]);
      expect(result.rounds.length).toBeGreaterThan(0);
      expect(result.writes.some(({ outcome }) => outcome === "acknowledged")).toBe(true);
    },
    deadlineMs,
  );
});
