import type { FreezeAnswer } from "#contract/agent-api.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import * as gtid from "#contract/gtid.ts";
import { isListed, type TopologyRecord } from "#contract/topology.ts";
import { decidePromotion, type FrozenReplica } from "../cluster/promotion.ts";
import type { Grant } from "../coordination/lease.ts";
import type { Topology, TopologyContent } from "../coordination/topology.ts";
import type { StopPoint } from "../operation/step.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { firstAckers, startApplying } from "./first-ackers.ts";

/** What a promotion acts through. */
export interface PromotionParts {
  readonly topology: Topology;
  /** All nodes but the primary that is to be replaced. */
  readonly nodes: readonly ClusterNode[];
  /** Who leads the attempt. */
  readonly me: string;
  readonly log: { info(line: string): void; warn(line: string): void };
  readonly now: () => number;
  /** For fault tests: called after each of `attemptPoints`. */
  readonly stopAt: (point: StopPoint) => Promise<void>;
}

/** What an attempt has done when a fault test may stop it. */
export const attemptPoints = ["lock", "freeze", "apply", "promotion-record", "promotion-open"] as const;

/** A successor that may be recorded: it holds every acknowledged write. */
export interface Candidate {
  readonly node: ClusterNode;
  readonly serverUuid: string;
  /** What it has to have executed before it is recorded. */
  readonly union: string;
  /** The other frozen nodes. */
  readonly others: readonly ClusterNode[];
  /** Those of the others that hold as much: they can be its first ackers. */
  readonly equals: readonly ClusterNode[];
  /** Recorded ackers whose state is not known. */
  readonly missing: readonly string[];
}

/** How long the rest is waited for once enough are frozen, milliseconds: they would follow sooner. */
const restPatienceMs = 300;

/**
 * Freezes whoever can be frozen and chooses the successor. Errors: `no-safe-candidate`, with who is missing and why.
 * The frozen stay frozen until a fence as high is recorded.
 */
export const freezeAndChoose = async (
  parts: PromotionParts,
  record: TopologyRecord,
  fence: number,
  options: { readonly acceptLoss?: boolean; readonly preferred?: string } = {},
): Promise<Candidate> => {
  const { me, nodes } = parts;
  const { acceptLoss = false, preferred = me } = options;
  const silent = { frozen: false as const, because: "it has not answered in time" };
  const heard = new Map<string, FreezeAnswer>();
  const enough = Promise.withResolvers<void>();
  const isCounted = (id: string, answer: FreezeAnswer): boolean =>
    answer.frozen && isListed(record, id, answer.incarnation);
  const all = Promise.all(
    nodes.map(async ({ instanceId, freeze }) => {
      const answer = await freeze(fence, record.instance_id, { forced: acceptLoss }).catch((error: unknown) => ({
        frozen: false as const,
        because: messageOf(error),
      }));
      heard.set(instanceId, answer);
      const counted = [...heard].filter(([id, each]) => isCounted(id, each)).length;
      if (counted > record.ackers.length - record.wait_count) enough.resolve();
    }),
  );
  // One that hangs does not hold up what is safe without it.
  await Promise.race([all, acceptLoss ? all : enough.promise]);
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, restPatienceMs))]);
  const answers = nodes.map((node) => ({ node, answer: heard.get(node.instanceId) ?? silent }));
  const frozen = answers.flatMap(({ node, answer }): FrozenReplica[] =>
    answer.frozen
      ? [
          {
            instanceId: node.instanceId,
            serverUuid: answer.server_uuid,
            incarnation: answer.incarnation,
            holds: gtid.union(answer.received_gtid_set, answer.executed_gtid_set),
          },
        ]
      : [],
  );
  const refused = answers.flatMap(({ node, answer }) =>
    answer.frozen ? [] : [{ instanceId: node.instanceId, because: answer.because }],
  );
  const decision = decidePromotion({ record, frozen, refused, preferred, acceptLoss }, gtid);
  const chosen = decision.promote && nodes.find((node) => node.instanceId === decision.promote?.instanceId);
  if (!decision.promote || !chosen) {
    throw new Failure("no-safe-candidate", {
      message: `${record.instance_id} is not replaced: ${decision.promote ? "the successor is unknown" : decision.because}.`,
    });
  }
  const others = nodes.filter((node) => node !== chosen && frozen.some((each) => each.instanceId === node.instanceId));
  const holdsAll = (node: ClusterNode): boolean =>
    frozen.some((each) => each.instanceId === node.instanceId && gtid.contains(each.holds, decision.union));
  return {
    node: chosen,
    serverUuid: decision.promote.serverUuid,
    union: decision.union,
    others,
    equals: others.filter(holdsAll),
    missing: decision.missing,
  };
};

/** How long a successor may take to apply what it received, milliseconds. */
const applyPatienceMs = 600_000;

/** What the record says of a promotion beyond who it is. */
export type PromotionNote = Pick<TopologyContent, "reason" | "operation_id">;

/**
 * Has the candidate apply everything, records it with the ackers that have applied it too, opens it and has the others follow.
 * `grant` is the election lock. Errors: `timed-out`, `superseded`, `lock-lost`, and what the candidate failed with.
 */
export const promote = async (
  parts: PromotionParts,
  record: TopologyRecord,
  candidate: Candidate,
  grant: Pick<Grant, "fence" | "assertHeld">,
  note: PromotionNote,
  noticedAt: number,
): Promise<TopologyRecord> => {
  const { log, now, topology } = parts;
  const { fence } = grant;
  const { node, others, equals, union } = candidate;
  // Who does not hold everything gets it from the successor only: it would be waited for in vain.
  const followers = startApplying(equals, fence, union, applyPatienceMs);
  await node.apply(fence, union, applyPatienceMs);
  await node.stop(fence, note.operation_id ?? "promotion");
  const ackers = await firstAckers(followers, record.wait_count);
  await parts.stopAt({ when: "after", step: "apply" });
  grant.assertHeld();
  const { degraded: _degraded, ...rest } = record;
  const written = await topology.write(
    {
      ...rest,
      ...note,
      instance_id: node.instanceId,
      private_ip: node.privateIp,
      server_uuid: candidate.serverUuid,
      fence,
      timeline: record.timeline + 1,
      branch_gtid_set: union,
      ackers,
      failover_from: record.instance_id,
    },
    { readRvn: record.rvn, needsHigherFence: true },
  );
  if (written.outcome === "superseded") {
    throw new Failure("superseded", {
      message: `The topology record was changed while ${node.instanceId} was being promoted; ${written.current?.instance_id ?? "nobody"} is the primary.`,
    });
  }
  log.info(`recorded ${node.instanceId} as primary under fence ${fence}, timeline ${record.timeline + 1}`);
  await parts.stopAt({ when: "after", step: "promotion-record" });
  grant.assertHeld();
  const { rvn } = written.record;
  const following = others.map((other) =>
    other.repoint(fence, rvn, union).then(
      ({ follows, because }) => (follows ? undefined : log.warn(`${other.instanceId} does not follow yet: ${because}`)),
      (error: unknown) => log.warn(`${other.instanceId} does not follow yet: ${messageOf(error)}`),
    ),
  );
  await node.open(fence, rvn, now() - noticedAt);
  // Their forwarders may let connections in from now on.
  for (const each of [node, ...others]) each.nudge(fence, written.record).catch(() => {});
  await parts.stopAt({ when: "after", step: "promotion-open" });
  await Promise.all(following);
  return written.record;
};
