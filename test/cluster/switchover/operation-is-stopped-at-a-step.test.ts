import { describe } from "vitest";
import { stopsAt } from "./stopped-at-a-step.ts";

// All of them are in the full run; these are one of each kind.
describe("a switchover whose runner is killed or fails", () => {
  stopsAt([
    [{ when: "before", step: "record" }, "kill"],
    [{ when: "after", step: "record" }, "kill"],
  ]);
});
