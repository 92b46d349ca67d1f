import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "#contract/failure-reasons.ts";
import { units } from "#contract/names.ts";
import type { FaultEffect } from "#lab/cloud/faults.ts";
import type { LabNode } from "#lab/controls.ts";
import type { Lab } from "#lab/lab.ts";
import { beginSwitchover, ended } from "../cluster/switchover-fixture.ts";
import type { Disks } from "./disks.ts";
import type { Fault, FaultKind, Round } from "./schedule.ts";

/** Where faults happen. */
export interface Scene {
  readonly lab: Lab;
  /** Undefined where disks cannot be full. */
  readonly disks: Disks | undefined;
  readonly now: () => number;
}

/** What was done, for the report and the history. */
export interface Done {
  readonly at: number;
  readonly what: string;
}

/** Ends one fault, and says what became of it. */
type Heal = () => Promise<string | undefined>;
type Act = (scene: Scene, node: LabNode, fault: Fault) => Heal | Promise<Heal>;

const nothingToHeal: Heal = async () => undefined;

const killUnit =
  (unit: string): Act =>
  ({ lab }, node) => {
    const pid = lab.machine(node.name).machine.signalUnit(unit, "SIGKILL");
    return pid === undefined ? async () => `${unit} of ${node.name} did not run` : nothingToHeal;
  };

const stopUnit =
  (unit: string): Act =>
  ({ lab }, node) => {
    const { machine } = lab.machine(node.name);
    const pid = machine.signalUnit(unit, "SIGSTOP");
    if (pid === undefined) return async () => `${unit} of ${node.name} did not run`;
    return async () => {
      // It may have been killed and started anew meanwhile.
      if (machine.unitState(unit)?.mainPid !== pid) return `${unit} of ${node.name} was another process by then`;
      machine.signalUnit(unit, "SIGCONT");
      return undefined;
    };
  };

const killNode: Act = async ({ lab }, node) => {
  const machine = lab.machine(node.name);
  await machine.kill();
  return async () => {
    await machine.start();
    return undefined;
  };
};

const stopNode: Act = async ({ lab }, node) => {
  const machine = lab.machine(node.name);
  await machine.stop();
  return async () => {
    await machine.cont();
    return undefined;
  };
};

const onStore =
  (effectOf: (fault: Fault) => FaultEffect): Act =>
  ({ lab }, node, fault) => {
    const remove = lab.faults.add({
      match: { principal: node.instanceId, service: "dynamodb" },
      effect: effectOf(fault),
    });
    return async () => {
      remove();
      return undefined;
    };
  };

const cutStore = onStore(() => ({ kind: "cut" }));

const cutPeers: Act = async ({ lab }, node) => {
  for (const other of await lab.nodes()) {
    if (other.name !== node.name) await lab.cutPeers(node.name, other.name);
  }
  return async () => {
    await lab.heal();
    return undefined;
  };
};

const cutBoth: Act = async (scene, node, fault) => {
  const heals = [await cutStore(scene, node, fault), await cutPeers(scene, node, fault)];
  return async () => {
    for (const heal of heals) await heal();
    return undefined;
  };
};

const fullDisk: Act = async ({ disks }, node) => {
  await disks?.fill(node.name);
  return async () => {
    await disks?.free(node.name);
    return undefined;
  };
};

const acts: Record<Exclude<FaultKind, "switchover">, Act> = {
  "kill-mysqld": killUnit(units.mysql),
  "kill-agent": killUnit(units.agent),
  "kill-node": killNode,
  "stop-mysqld": stopUnit(units.mysql),
  "stop-agent": stopUnit(units.agent),
  "stop-node": stopNode,
  "cut-store": cutStore,
  "cut-peers": cutPeers,
  "cut-both": cutBoth,
  "throttle-store": onStore(() => ({ kind: "throttle" })),
  "delay-store": onStore(({ delayMs = 0 }) => ({ kind: "delay", delayMs })),
  "full-disk": fullDisk,
  "replicas-killed": killNode,
  "replicas-stopped": stopNode,
};

/** How long an operation may take until it has ended, in whatever way, milliseconds. */
const operationMs = 90_000;

/** An operation that did not end by itself. */
export class StuckOperation extends Error {
  override name = "StuckOperation";
}

const switchover = async ({ lab, now }: Scene, planner: string): Promise<Heal> => {
  const began = now();
  const took = (): string => `${((now() - began) / 1000).toFixed(1)} s`;
  // What cannot be asked for, because a fault of the same round came first, changes nothing.
  const id = await beginSwitchover(lab, planner).catch((error: unknown) =>
    error instanceof Error ? error : new Error(String(error)),
  );
  if (id instanceof Error) return async () => `switchover not begun: ${id.message.split("\n")[0]?.slice(0, 300)}`;
  return async () => {
    const record = await ended(lab, id, operationMs).catch((error: unknown) => {
      throw new StuckOperation(`switchover ${id}: ${messageOf(error)}`);
    });
    const why = record.failure_reason === undefined ? "" : ` (${record.failure_reason})`;
    return `switchover ${record.state}${why} within ${took()}`;
  };
};

/** Does one fault to one victim after the other, waits, and heals. Resolves with what is worth telling. */
const perform = async (
  scene: Scene,
  nodes: readonly LabNode[],
  fault: Fault,
  note: (what: string) => void,
): Promise<void> => {
  await delay(fault.afterMs);
  const victims = fault.victims.flatMap((at) => nodes[at] ?? []);
  const names = victims.map(({ name }) => name).join(", ");
  note(`begins: ${fault.kind} ${names}`.trimEnd());
  const heals: Heal[] = [];
  try {
    if (fault.kind === "switchover") heals.push(await switchover(scene, nodes[1]?.name ?? ""));
    else for (const victim of victims) heals.push(await acts[fault.kind](scene, victim, fault));
    await delay(fault.forMs);
  } finally {
    for (const heal of heals) {
      const told = await heal();
      if (told !== undefined) note(told);
    }
    if (fault.forMs > 0) note(`healed: ${fault.kind} ${names}`);
  }
};

/**
 * Carries a round out. `nodes`: the recorded primary first. Resolves when everything is healed, with what was done and when.
 * @throws StuckOperation, after everything was healed.
 */
export const performRound = async (scene: Scene, nodes: readonly LabNode[], round: Round): Promise<readonly Done[]> => {
  const done: Done[] = [];
  const note = (what: string): void => {
    done.push({ at: scene.now(), what });
  };
  const results = await Promise.allSettled(round.faults.map((fault) => perform(scene, nodes, fault, note)));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return done;
};

/** A round in words: what, to whom, for how long. */
export const roundText = (nodes: readonly LabNode[], round: Round): string =>
  round.faults
    .map(({ kind, victims, forMs, delayMs, afterMs }) => {
      const whom = victims.map((at) => `${nodes[at]?.name}${at === 0 ? " (primary)" : ""}`).join(", ");
      return [
        kind,
        whom,
        forMs > 0 ? `for ${(forMs / 1000).toFixed(1)} s` : "",
        delayMs === undefined ? "" : `by ${delayMs} ms`,
        afterMs > 0 ? `after ${afterMs} ms` : "",
      ]
        .filter((part) => part !== "")
        .join(" ");
    })
    .join(" + ");
