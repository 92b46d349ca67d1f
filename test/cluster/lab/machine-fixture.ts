import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineLayout } from "#lab/machine/layout.ts";
import { createMachine, type Machine } from "#lab/machine/machine.ts";
import { listProcesses } from "#lab/machine/processes.ts";
import { type UnitDefinition, unitDefinition } from "#lab/machine/unit.ts";

/** A machine with the given units; `boot` runs first. Everything of it goes with `dispose`. */
export async function testMachine(units: readonly (Pick<UnitDefinition, "name" | "argv"> & Partial<UnitDefinition>)[]) {
  const folder = await mkdtemp(join(tmpdir(), "machine-"));
  await mkdir(join(folder, "disk"));
  const sessions = new Set<number>();
  const machine: Machine = createMachine({
    layout: machineLayout(join(folder, "disk"), join(folder, "s")),
    units: [unitDefinition({ name: "boot", argv: ["true"], type: "oneshot" }), ...units.map(unitDefinition)],
    bootUnits: ["boot"],
    provision: async () => {},
    environment: { PATH: process.env.PATH ?? "" },
    owner: { variable: "TEST_MACHINE", value: folder },
    sessions: { add: (session) => sessions.add(session), remove: (session) => sessions.delete(session) },
  });
  await machine.boot();
  return {
    machine,
    sessions,
    folder,
    dispose: async () => {
      await machine.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Shell text as a unit's program. */
export const shell = (text: string): readonly [string, ...string[]] => ["/bin/sh", "-c", text];

/** State letters of processes; a process that is gone has none. */
export const statesOf = (pids: readonly number[]): string[] =>
  listProcesses()
    .filter(({ pid }) => pids.includes(pid))
    .map(({ state }) => state);
