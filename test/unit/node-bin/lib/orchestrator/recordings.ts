import { readFileSync } from "node:fs";
import type { HookName } from "#node/lib/orchestrator/hook-event.ts";

/** One event of a real Orchestrator, as it came. */
export interface RecordedHook {
  readonly hook: HookName;
  readonly env: Readonly<Record<string, string>>;
}

/** The recorded situations. */
export const hookRecordings = ["crash", "graceful", "unsuccessful"] as const;

/** The events of one situation, in the order in which they came. */
export const recordedHooks = (situation: (typeof hookRecordings)[number]): RecordedHook[] =>
  JSON.parse(
    readFileSync(new URL(`../../../../fixtures/orchestrator/hooks-${situation}.json`, import.meta.url), "utf8"),
  );
