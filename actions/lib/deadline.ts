import type { Failure } from "#contract/failure-reasons.ts";

/**
 * A signal that is aborted when `outer` is, or with `failure` after `milliseconds`. `end` aborts it too: what nobody waits for
 * any more would otherwise keep the process.
 */
export function withDeadline(
  outer: AbortSignal,
  milliseconds: number,
  failure: Failure,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(failure), milliseconds);
  const end = (): void => {
    clearTimeout(timer);
    late.abort(new Error("The work has ended."));
  };
  return { signal: AbortSignal.any([outer, late.signal]), end };
}
