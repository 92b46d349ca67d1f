import { describe } from "vitest";
import { switchoverSteps } from "#node/lib/failover/switchover/steps.ts";
import { stopPoints } from "#node/lib/operation/step.ts";
import { stopsAt } from "./stopped-at-a-step.ts";

describe("a switchover that is stopped before and after every step", () => {
  stopsAt(
    stopPoints(switchoverSteps).flatMap((point) => [
      [point, "kill"],
      [point, "throw"],
    ]),
  );
});
