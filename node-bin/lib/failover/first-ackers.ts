import type { Applied } from "#contract/agent-api.ts";
import type { Acker } from "#contract/topology.ts";
import type { ClusterNode } from "./cluster-node.ts";

/**
 * How long enough first ackers are waited for, milliseconds. A new primary without them acknowledges nothing until the next rounds
 * of its agent have found some, which takes longer.
 */
const enoughPatienceMs = 1500;
/** How much longer the rest is waited for, milliseconds. */
const restPatienceMs = 20;

/** A replica that applies what the new primary has to have. */
interface Follower {
  readonly instanceId: string;
  readonly applied: Promise<Applied>;
}

/** Has replicas apply a set, beside the candidate; one that does not come to its end is no acker, and no error. */
export const startApplying = (
  nodes: readonly ClusterNode[],
  fence: number,
  gtidSet: string,
  timeoutMs: number,
): Follower[] =>
  nodes.map(({ instanceId, apply }) => {
    const applied = apply(fence, gtidSet, timeoutMs);
    applied.catch(() => {});
    return { instanceId, applied };
  });

/** Those who have applied everything, in time to be recorded with the new primary. */
export const firstAckers = async (followers: readonly Follower[], needed: number): Promise<Acker[]> => {
  const found: Acker[] = [];
  const timers: NodeJS.Timeout[] = [];
  const after = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      timers.push(setTimeout(resolve, ms));
    });
  const enough = Promise.withResolvers<void>();
  const all = Promise.allSettled(
    followers.map(async ({ instanceId, applied }) => {
      const { incarnation } = await applied;
      if (incarnation !== undefined) found.push({ instance_id: instanceId, incarnation });
      if (found.length >= needed) enough.resolve();
    }),
  );
  await Promise.race([all, enough.promise, after(enoughPatienceMs)]);
  await Promise.race([all, after(restPatienceMs)]);
  for (const timer of timers) clearTimeout(timer);
  return [...found];
};
