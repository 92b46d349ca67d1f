import { backends, nobody, type Slot } from "#node/lib/forwarder/slots.ts";

type Mutable = { -readonly [Key in keyof Slot]: Slot[Key] };

/** What HAProxy 2.6 does with the commands that the forwarder sends, as far as slots show it. */
export class FakeHaproxy {
  readonly slots: Mutable[];
  /** Slots whose sessions were ended, in order. */
  readonly cut: string[] = [];
  /** All commands in order. */
  readonly commands: string[] = [];

  constructor(size: number) {
    this.slots = backends.flatMap((backend) =>
      Array.from({ length: size }, (_, at): Mutable => {
        return { backend, name: `n${at + 1}`, address: undefined, admin: "maint", healthy: true };
      }),
    );
  }

  /** @throws on a command that HAProxy would refuse. */
  execute(commands: readonly string[]): void {
    for (const command of commands) {
      this.commands.push(command);
      const [, verb, server, what, value] =
        /^(set server|shutdown sessions server) (\S+?)(?: (state|health|addr) (\S+))?$/.exec(command) ?? [];
      const slot = this.slots.find(({ backend, name }) => `${backend}/${name}` === server);
      if (slot === undefined) throw new Error(`refused: ${command}`);
      if (verb === "shutdown sessions server") this.cut.push(server ?? "");
      else if (what === "addr") slot.address = value === nobody ? undefined : value;
      else if (what === "health") slot.healthy = value === "up";
      else if (what === "state" && (value === "ready" || value === "drain" || value === "maint")) {
        // A server that leaves maintenance counts as healthy until it is checked; one that enters it loses its sessions.
        if (slot.admin === "maint" && value !== "maint") slot.healthy = true;
        if (slot.admin !== "maint" && value === "maint") this.cut.push(server ?? "");
        slot.admin = value;
      } else throw new Error(`refused: ${command}`);
    }
  }

  /** Addresses that get new connections. */
  taking(backend: "write" | "read"): string[] {
    return this.slots
      .filter((slot) => slot.backend === backend && slot.admin === "ready" && slot.healthy)
      .map(({ address }) => address ?? "nobody");
  }

  /** Health checks: these addresses answer 200. */
  check(backend: "write" | "read", good: readonly string[]): void {
    for (const slot of this.slots) {
      if (slot.backend === backend && slot.admin !== "maint") slot.healthy = good.includes(slot.address ?? "");
    }
  }
}
