import { connect, createServer, type Socket } from "node:net";

/** One client's connection through the balancer. */
export interface Flow {
  /** Resets both sides. */
  reset(): void;
}

/** Where a new connection goes; the balancer counts the flow as that target's until it ends. */
export interface Destination {
  readonly address: string;
  readonly port: number;
  readonly flows: Set<Flow>;
}

export interface Forwarder {
  close(): Promise<void>;
}

/** A target that does not answer a connection attempt is given up after so long. */
const connectTimeoutMs = 10_000;

/**
 * Forwards TCP connections from a listener to whichever destination `choose` names at that moment; a connection that has none is
 * reset. Half-closes and backpressure pass in both directions, and so do resets.
 *
 * @throws when the port cannot be bound.
 */
export const startForwarder = async (options: {
  readonly address: string;
  readonly port: number;
  readonly choose: () => Destination | undefined;
}): Promise<Forwarder> => {
  const flows = new Set<Flow>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    const destination = options.choose();
    client.on("error", () => undefined);
    if (destination === undefined) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({
      host: destination.address,
      port: destination.port,
      localAddress: options.address,
      allowHalfOpen: true,
      noDelay: true,
    });
    const timer = setTimeout(() => flow.reset(), connectTimeoutMs);
    const flow: Flow = {
      reset: () => {
        client.resetAndDestroy();
        upstream.resetAndDestroy();
      },
    };
    const register = [flows, destination.flows];
    for (const set of register) set.add(flow);
    const closeWith = (other: Socket) => (hadError: boolean) => {
      clearTimeout(timer);
      for (const set of register) set.delete(flow);
      if (hadError) other.resetAndDestroy();
      else if (!other.writableEnded) other.destroy();
    };
    upstream.on("error", () => undefined);
    upstream.on("close", closeWith(client));
    client.on("close", closeWith(upstream));
    upstream.once("connect", () => {
      clearTimeout(timer);
      client.pipe(upstream);
      upstream.pipe(client);
      client.resume();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.address, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  server.on("error", () => undefined);
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const flow of [...flows]) flow.reset();
      await closed;
    },
  };
};
