import type { OrchestratorInstance } from "./answers.ts";

/** The reason that Orchestrator gives to the downtime, of one year, of what it lost in a recovery. */
export const lostInRecovery = "lost-in-recovery";

/**
 * Addresses of nodes whose downtime is to end, because they are back: the primary itself, or a node that replicates from it.
 * Until then they would never be chosen, and a new instance at the same address inherits it. Downtimes with other reasons
 * are people's.
 *
 * @param primary address of the recorded primary.
 * @param members addresses of the group's instances.
 */
export const downtimesToEnd = (
  downtimed: readonly OrchestratorInstance[],
  primary: string,
  members: readonly string[],
): string[] =>
  downtimed
    .filter(({ downtime }) => downtime?.reason === lostInRecovery)
    .filter(({ host, answers }) => answers && members.includes(host))
    .filter(
      ({ host, sourceHost, receives, applies }) => host === primary || (sourceHost === primary && receives && applies),
    )
    .map(({ host }) => host);

/** Addresses that Orchestrator still knows and that no instance has any more. Another may get such an address. */
export const instancesToForget = (known: readonly OrchestratorInstance[], members: readonly string[]): string[] =>
  known.filter(({ host, answers }) => !answers && !members.includes(host)).map(({ host }) => host);
