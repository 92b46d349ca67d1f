import { Failure } from "#contract/failure-reasons.ts";
import { type Backend, backends, isTaking, nobody, type Slot } from "./slots.ts";

/** Where connections are to go. */
export interface Desired {
  /** All nodes of the cluster. One that is not here loses its slots and its sessions. */
  readonly nodes: readonly { readonly address: string }[];
  /** Address of the node that gets new connections for writes; undefined: nobody does, and they are held. */
  readonly primary: string | undefined;
  /** Nodes whose sessions for writes are ended. */
  readonly cut: readonly string[];
}

/** Commands for HAProxy. */
export interface Changes {
  readonly now: readonly string[];
  /**
   * Addresses whose sessions can be ended only when connections that wait for them have turned to another server: ending
   * those of a server that took connections until now ends the waiting ones too.
   */
  readonly cutLater: readonly string[];
}

/** What ends the sessions for writes to these addresses. */
export const cutCommands = (slots: readonly Slot[], addresses: readonly string[]): string[] =>
  slots
    .filter(({ backend, address }) => backend === "write" && address !== undefined && addresses.includes(address))
    .map(({ name }) => `shutdown sessions server write/${name}`);

interface Placed {
  readonly slot: Slot;
  readonly address: string;
}

/** Nodes stay where they are; new ones take free slots, the primary first. Whatever else is not in maintenance has to leave. */
const place = (backend: Backend, slots: readonly Slot[], addresses: readonly string[]) => {
  const kept = new Map<string, Slot>();
  const gone: Slot[] = [];
  const free: Slot[] = [];
  for (const slot of slots) {
    const { address } = slot;
    if (address === undefined && slot.admin === "maint") free.push(slot);
    else if (address !== undefined && addresses.includes(address) && !kept.has(address)) kept.set(address, slot);
    else gone.push(slot);
  }
  const available = [...free, ...gone];
  const placed = addresses.map((address): Placed => {
    const slot = kept.get(address) ?? available.shift();
    if (slot !== undefined) return { slot, address };
    throw new Failure("internal", {
      message: `HAProxy's backend ${backend} has ${slots.length} slots; the cluster has ${addresses.length} nodes.`,
      changed: "Nothing was changed.",
      next: "Give HAProxy's configuration more slots. It is tried again.",
    });
  });
  return { placed, gone };
};

/** A slot of the write backend. Health checks decide there too, so that HAProxy alone finds a new primary when its agent is dead. */
const writeCommands = (
  server: string,
  slot: Slot,
  isNew: boolean,
  is: "primary" | "news" | "other" | "held",
): string[] => {
  const admin = isNew ? "maint" : slot.admin;
  if (is === "primary" || is === "news") {
    // What the health check says next counts again.
    const asked = is === "news" || admin !== "ready";
    return asked ? [`set server ${server} state ready`, `set server ${server} health up`] : [];
  }
  // A slot that leaves maintenance would count as healthy until its first check; and whatever a node says of itself, it is not
  // the primary that the record names.
  if (admin === "maint" || (admin === "ready" && (slot.healthy || is === "held")))
    return [`set server ${server} state drain`];
  if (admin === "drain" && !slot.healthy && is === "other") return [`set server ${server} state ready`];
  return [];
};

/** A slot of the read backend: its health check decides, from the first one on. */
const readCommands = (server: string, slot: Slot, isNew: boolean): string[] => {
  if (isNew || slot.admin === "maint") {
    return [`set server ${server} state drain`, `set server ${server} health down`, `set server ${server} state ready`];
  }
  return slot.admin === "drain" ? [`set server ${server} state ready`] : [];
};

/**
 * What HAProxy has to be told so that connections go where they should.
 *
 * @param isNews whether the primary, or that there is none, is another answer than the last one that HAProxy was told: then it does
 *   not wait for the new primary's health check.
 * @throws Failure `internal` when there are more nodes than slots.
 */
export const forwarderChanges = (desired: Desired, seen: readonly Slot[], isNews: boolean): Changes => {
  const { primary } = desired;
  const all = desired.nodes.map(({ address }) => address);
  const addresses = [...new Set(primary === undefined ? all : [primary, ...all])];
  const leave: string[] = [];
  const enter: string[] = [];
  for (const backend of backends) {
    const slots = seen.filter((slot) => slot.backend === backend);
    const { placed, gone } = place(backend, slots, addresses);
    for (const slot of gone) {
      // Maintenance ends its sessions.
      leave.push(`set server ${backend}/${slot.name} state maint`);
      if (!placed.some((each) => each.slot === slot)) leave.push(`set server ${backend}/${slot.name} addr ${nobody}`);
    }
    for (const { slot, address } of placed) {
      const server = `${backend}/${slot.name}`;
      const isNew = slot.address !== address;
      const is = address === primary ? (isNews ? "news" : "primary") : primary === undefined ? "held" : "other";
      const commands = backend === "write" ? writeCommands(server, slot, isNew, is) : readCommands(server, slot, isNew);
      // Whoever loses connections does so before another gets them.
      const into = address === primary && backend === "write" ? enter : leave;
      into.push(...(isNew ? [`set server ${server} addr ${address}`] : []), ...commands);
    }
  }
  const taking = seen.filter((slot) => slot.backend === "write" && isTaking(slot)).map(({ address }) => address);
  const cutLater = desired.cut.filter((address) => taking.includes(address));
  const cutNow = desired.cut.filter((address) => !cutLater.includes(address));
  const stay = seen.filter(({ address }) => address !== undefined && addresses.includes(address));
  return { now: [...leave, ...enter, ...cutCommands(stay, cutNow)], cutLater };
};
