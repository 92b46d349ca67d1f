import { Failure } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import { type BootstrapView, decideBootstrap } from "../cluster/bootstrap-decision.ts";
import { pause } from "../host/wait.ts";
import { adoptData, restoreData } from "./build-data.ts";
import type { BootstrapContext } from "./context.ts";
import { formCluster, takeOverFormation } from "./form.ts";
import { gatherView } from "./gather.ts";
import { type JoinOutcome, joinAsReplica, waitUntilServing } from "./join.ts";
import { leadCluster } from "./lead.ts";
import { setAside } from "./set-aside.ts";
import { untilNotFrozen } from "./still-primary.ts";

/** How long to pause between looks while another node has to act first, milliseconds. */
const lookAgainMs = 500;

const replaceData = async (
  context: BootstrapContext,
  view: BootstrapView,
  { replace, needsNewerBackup }: Extract<JoinOutcome, { joined: false }>,
): Promise<void> => {
  const used = view.data.kind === "ours" ? view.data.marker.backup?.time : undefined;
  if (needsNewerBackup && (!view.backup || view.backup.time === used)) {
    throw new Failure("binlogs-purged", {
      message: `This node's data cannot join, because ${replace}, and there is no newer backup than ${used ?? "none"}.`,
      next: "Take a new full backup on a node that serves; this node restores it by itself.",
    });
  }
  // While it is frozen, somebody may be counting what it holds.
  if (view.record) await untilNotFrozen(context, view.record);
  await setAside(context, replace);
};

/** One decision and its step; true when the node has joined or leads a serving cluster. */
const advance = async (
  context: BootstrapContext,
  ids: { current: number },
  told: (because: string) => Promise<void>,
): Promise<boolean> => {
  const serverId = ids.current;
  const view = await gatherView(context);
  const decision = decideBootstrap(view);
  switch (decision.step) {
    case "wait":
      await told(decision.because);
      await pause(lookAgainMs, context.signal);
      return false;
    case "refuse":
      throw new Failure(decision.reason, { message: decision.because });
    case "form":
      await formCluster(context, decision.data, serverId);
      return false;
    case "take-over":
      if (view.record) await takeOverFormation(context, decision.data, view.record, serverId);
      return false;
    case "restore":
      // It may have been primary with the data that were set aside; what it wrote then must come back to it.
      if ((await context.data.setAsideBefore()).length > 0) ids.current = await context.renewServerId();
      await restoreData(context, decision.backup);
      return false;
    case "adopt":
      if (view.record) await adoptData(context, view.record.formation, undefined);
      return false;
    case "set-aside":
      await setAside(context, decision.because);
      return false;
    case "lead":
      if (!view.record) return false;
      await leadCluster(context, view.record, serverId);
      return true;
    case "join": {
      if (!view.record || view.data.kind !== "ours") return false;
      const outcome = await joinAsReplica(context, view.record, view.data.marker, serverId);
      if (outcome.joined) {
        await waitUntilServing(context, view.record);
        return true;
      }
      await replaceData(context, view, outcome);
      return false;
    }
  }
};

/**
 * Takes this node from wherever it is to a member of its cluster. Each round looks at everything anew, so that a crash at
 * any point is repaired by running again. Errors: those that only a person can mend; the unit is started again anyway.
 */
export const runBootstrap = async (context: BootstrapContext, serverId: number): Promise<void> => {
  const { log, services, signal } = context;
  await services.start(units.agent);
  const ids = { current: serverId };
  let lastTold = "";
  const told = async (because: string): Promise<void> => {
    if (because === lastTold) return;
    lastTold = because;
    await context.step(`waiting: ${because}`);
  };
  for (;;) {
    signal.throwIfAborted();
    try {
      if (await advance(context, ids, told)) return;
    } catch (error) {
      if (!(error instanceof Failure) || (error.reason !== "superseded" && error.reason !== "lock-lost")) throw error;
      log.warn(`${error.message} Looking again.`);
      await pause(lookAgainMs, signal);
    }
  }
};
