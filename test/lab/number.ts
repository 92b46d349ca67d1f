import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { ports } from "#contract/ports.ts";

/** The lab's own control port on `127.N.0.1`; listening on it is what makes N this lab's. */
export const controlPort = 4560;

/** Numbers of labs, from 1: the second byte of their addresses. */
export const highestNumber = 99;
export const labNumbers: readonly number[] = Array.from({ length: highestNumber }, (_, n) => n + 1);

/** Ports of a lab besides the control port; all are tried on one address of it. */
const portsToBeFree = [4566, 8169, ports.mysql, ports.mysqlAdmin, ports.agent, ports.balancerRead];

export const networkOf = (number: number): string => `127.${number}`;

/** A number that is this process's as long as the server listens. */
export interface ClaimedNumber {
  readonly number: number;
  readonly network: string;
  /** Listens on the control port; its connections are the caller's to answer. */
  readonly server: Server;
}

/** Tries to listen; undefined when the address is in use. */
async function tryListen(server: Server, host: string, port: number): Promise<Server | undefined> {
  server.listen({ host, port, exclusive: true });
  try {
    await once(server, "listening");
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined;
    throw new Error(
      `The lab could not listen on ${host}: ${(error as Error).message}. It needs the whole of 127.0.0.0/8 on the loopback interface, as Linux has it.`,
    );
  }
}

async function busyPorts(network: string): Promise<number[]> {
  const tried = await Promise.all(
    portsToBeFree.map(async (port) => {
      const server = await tryListen(createServer(), `${network}.0.1`, port);
      if (server === undefined) return [port];
      server.close();
      await once(server, "close");
      return [];
    }),
  );
  return tried.flat();
}

/**
 * Takes the first lab number that is free.
 *
 * @param makeServer makes the server that will answer on the control port.
 * @param numbers are tried in their order.
 * @throws when each is in use.
 */
export async function claimNumber(makeServer: () => Server, numbers: readonly number[]): Promise<ClaimedNumber> {
  const busy = new Set<number>();
  for (const number of numbers) {
    const network = networkOf(number);
    const server = await tryListen(makeServer(), `${network}.0.1`, controlPort);
    if (server === undefined) {
      busy.add(controlPort);
      continue;
    }
    const inTheWay = await busyPorts(network);
    if (inTheWay.length === 0) return { number, network, server };
    for (const port of inTheWay) busy.add(port);
    server.close();
    await once(server, "close");
  }
  const which = numbers.length === 1 ? `Lab ${numbers[0]}` : "Every lab number";
  const inUse = [...busy].sort((one, other) => one - other).join(", ");
  throw new Error(
    `${which} is in use: something listens on port ${inUse}. Nothing was started. See what it is with \`ss -ltnp\`; a server of this machine that listens on all addresses (0.0.0.0) must end or be bound to 127.0.0.1.`,
  );
}
