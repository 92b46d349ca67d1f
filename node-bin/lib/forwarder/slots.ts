import { Failure } from "#contract/failure-reasons.ts";

/** The two ways through the forwarder. */
export const backends = ["write", "read"] as const;
export type Backend = (typeof backends)[number];

/** One of a backend's places for a node, as HAProxy sees it. */
export interface Slot {
  readonly backend: Backend;
  /** Its name in the configuration: `n1`, `n2`, … */
  readonly name: string;
  /** Undefined when no node is in it. */
  readonly address: string | undefined;
  /**
   * `ready`: the health check decides. `drain`: no new connections, sessions stay, the health check goes on. `maint`: neither
   * connections nor checks.
   */
  readonly admin: "ready" | "drain" | "maint";
  /** By its health, or by what was said of its health, it would take connections. */
  readonly healthy: boolean;
}

/** Whether new connections may go to a slot now. */
export const isTaking = ({ admin, healthy }: Slot): boolean => admin === "ready" && healthy;

/** The address of a slot without a node. */
export const nobody = "0.0.0.0";

/** Bits of `srv_admin_state`: forced, inherited, or for want of an address. */
const maintBits = 0x01 | 0x02 | 0x20;
const drainBits = 0x08 | 0x10;

const malformed = (what: string): Failure =>
  new Failure("internal", {
    message: `HAProxy's list of servers ${what}.`,
    changed: "Nothing was changed.",
    next: "Compare HAProxy's version and configuration with what this version expects. It is tried again.",
  });

/** Reads what HAProxy answers to `show servers state`; other servers than slots are left out. Errors: `internal`. */
export const parseSlots = (text: string): Slot[] => {
  const lines = text.split("\n");
  const columns = lines
    .find((line) => line.startsWith("# "))
    ?.slice(2)
    .split(" ");
  if (columns === undefined) throw malformed("has no line that names its columns");
  const column = (name: string): number => {
    const at = columns.indexOf(name);
    if (at < 0) throw malformed(`has no column ${name}`);
    return at;
  };
  const at = {
    backend: column("be_name"),
    name: column("srv_name"),
    address: column("srv_addr"),
    operation: column("srv_op_state"),
    admin: column("srv_admin_state"),
  };
  // The first line is the format's version, a number alone.
  const rows = lines.filter((line) => /^\d+ /.test(line)).map((line) => line.split(" "));
  return rows.flatMap((row) => {
    const backend = backends.find((name) => name === row[at.backend]);
    const name = row[at.name] ?? "";
    if (backend === undefined || !/^n\d+$/.test(name)) return [];
    const bits = Number(row[at.admin]);
    const operation = Number(row[at.operation]);
    if (!Number.isInteger(bits) || !Number.isInteger(operation)) throw malformed(`says "${row.join(" ")}" of a server`);
    return {
      backend,
      name,
      address: row[at.address] === nobody ? undefined : row[at.address],
      admin: bits & maintBits ? "maint" : bits & drainBits ? "drain" : "ready",
      // 0 stopped, 1 starting, 2 running, 3 stopping.
      healthy: operation === 1 || operation === 2,
    };
  });
};
