import type { Power } from "./machine/machine.ts";
import type { ActiveState } from "./machine/service.ts";

/** One node as the hypervisor knows it. */
export interface LabNode {
  /** `n1`, `n2`, … in the order in which they were launched. */
  readonly name: string;
  readonly instanceId: string;
  readonly address: string;
  readonly zone: string;
  /** EC2's state of the instance. */
  readonly state: string;
  /** Auto Scaling's state. */
  readonly lifecycle: string | undefined;
  readonly power: Power;
  /** State of each unit by its name. */
  readonly units: Readonly<Record<string, ActiveState>>;
  /** Folder with one journal for each unit. */
  readonly logDirectory: string;
  readonly mysqlSocket: string;
}

/** What can be done to a machine. `kill` with a unit kills that unit's main process only. */
export type MachineOperation = "kill" | "start" | "stop" | "cont";

/** Proportional set size, bytes: memory that processes share is counted once. */
export interface MemoryUse {
  /** By node name. */
  readonly nodes: Readonly<Record<string, number>>;
  /** The emulators of AWS. */
  readonly aws: number;
  /** The process that runs the lab. */
  readonly lab: number;
}

/** What needs the process that runs the lab; everything else goes through AWS's protocols, agents and MySQL. */
export interface LabControls {
  nodes(): Promise<readonly LabNode[]>;
  /** Resolves with one sentence that says what was done. */
  machine(name: string, operation: MachineOperation, unit?: string): Promise<string>;
  /** Memory in use now. */
  memory(): Promise<MemoryUse>;
  /** Begins to take the lab down; resolves at once. */
  requestDown(): Promise<void>;
}
