import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inPhase, type Progress, progressLine, reportLines } from "#lab/cache/progress.ts";

describe("a phase", () => {
  it("is told when it begins and when it is done, with the size that the work found out", async () => {
    const told: Progress[] = [];
    const result = await inPhase(
      (progress) => told.push(progress),
      "mysql",
      "download",
      async (measured) => {
        measured(66);
        return "kept";
      },
    );
    expect(result).toBe("kept");
    expect(told).toEqual([
      { entry: "mysql", phase: "download", state: "begun" },
      { entry: "mysql", phase: "download", state: "done", megabytes: 66, seconds: expect.any(Number) },
    ]);
  });

  it("is told to have failed, and passes the error on", async () => {
    const told: Progress[] = [];
    const work = inPhase(
      (progress) => told.push(progress),
      "mysql",
      "download",
      () => Promise.reject(new Error("cut")),
    );
    await expect(work).rejects.toThrow("cut");
    expect(told.map(({ state }) => state)).toEqual(["begun", "failed"]);
  });
});

describe("the lines", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("are one for a quick phase, with MB and seconds", () => {
    const lines: string[] = [];
    const report = reportLines((line) => lines.push(line), 1000);
    report({ entry: "mysql", phase: "download", state: "begun", megabytes: 66 });
    report({ entry: "mysql", phase: "download", state: "done", megabytes: 66, seconds: 0.94 });
    vi.advanceTimersByTime(10_000);
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([["mysql", "download", "66 MB", "0.9 s"]]);
  });

  it("are two for a long phase, so that a person sees what is going on", () => {
    const lines: string[] = [];
    const report = reportLines((line) => lines.push(line), 1000);
    report({ entry: "moto", phase: "installation", state: "begun" });
    expect(lines).toEqual([]);
    vi.advanceTimersByTime(1001);
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([["moto", "installation", "…"]]);
    report({ entry: "moto", phase: "installation", state: "failed", seconds: 31.25 });
    expect(lines.at(-1)).toMatch(/installation .* 31\.3 s {2}failed\n$/);
  });

  it("stand in columns", () => {
    const ends = [
      progressLine({ entry: "moto", phase: "a", state: "done", seconds: 3 }),
      progressLine({ entry: "ministack", phase: "installation", state: "done", seconds: 120, megabytes: 4000 }),
    ].map((line) => line.length);
    expect(new Set(ends).size).toBe(1);
  });
});
