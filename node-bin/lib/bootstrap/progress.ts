import * as v from "valibot";
import { FailureReasonName } from "#contract/failure-reasons.ts";
import { readIfThere, writeDurably } from "../host/files.ts";

/** How far this node's bootstrap is: the agent shows it in `/status`. */
export const BootstrapProgress = v.object({
  state: v.picklist(["running", "joined", "failed"]),
  /** What it does or did last, in words for people. */
  step: v.string(),
  failure_reason: v.optional(FailureReasonName),
});
export type BootstrapProgress = v.InferOutput<typeof BootstrapProgress>;

/** File name in the node's state folder. */
export const progressFile = "bootstrap.json";

/** Writes the progress for the agent to read. */
export const writeProgress = (path: string, progress: BootstrapProgress): Promise<void> =>
  writeDurably(path, `${JSON.stringify(progress)}\n`, 0o644);

/** The progress; undefined when no bootstrap ran here yet. */
export const readProgress = async (path: string): Promise<BootstrapProgress | undefined> => {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(BootstrapProgress, JSON.parse(text));
  return parsed.success ? parsed.output : undefined;
};
