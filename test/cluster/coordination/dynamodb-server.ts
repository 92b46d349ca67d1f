import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { startMinistack } from "../ministack.ts";

const region = "us-east-1";
const credentials = { accessKeyId: "test", secretAccessKey: "test" };

/** What becomes of one request on its way to the store. */
export type Fault =
  /** The store does it; the connection is closed instead of bringing the answer. */
  | { readonly kind: "lose-answer" }
  /** The store does it; the answer never comes, and the connection stays open. */
  | { readonly kind: "withhold-answer" }
  /** The connection is closed at once; the request reaches the store after so long all the same. */
  | { readonly kind: "arrive-late"; readonly afterMs: number }
  /** Nothing reaches the store and nothing comes back. */
  | { readonly kind: "swallow" }
  /** The store's answer when the table's throughput is exceeded. */
  | { readonly kind: "throttle" };

/** One request as the way sees it. */
export interface PassingRequest {
  /** Address that the client connects from. */
  readonly from: string;
  /** `GetItem`, `PutItem`, `UpdateItem`, `BatchGetItem`. */
  readonly operation: string;
  readonly authorization: string;
  /** What the client calls itself; undefined when it says nothing. */
  readonly userAgent: string | undefined;
}

/** A real DynamoDB protocol server, and a way to it on which requests meet with faults. */
export interface DynamodbServer {
  /** Of the way with the faults; without any it only passes on. */
  readonly endpoint: string;
  /** Of the server itself. */
  readonly directEndpoint: string;
  /** From now on `fault` is asked for each request; undefined lets it pass. The result ends that. */
  disturb(fault: (request: PassingRequest) => Fault | undefined): () => void;
  /** Requests that arrived late so far. */
  lateArrivals(): number;
  /** Creates an empty table of the coordination table's form. */
  createTable(name: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts both on free ports of loopback. */
export const startDynamodb = async (): Promise<DynamodbServer> => {
  const folder = await mkdtemp(join(tmpdir(), "coordination-"));
  const createTableAt = async (endpoint: string, name: string): Promise<void> => {
    const client = new DynamoDBClient({ endpoint, region, credentials, maxAttempts: 1 });
    try {
      await client.send(
        new CreateTableCommand({
          TableName: name,
          BillingMode: "PAY_PER_REQUEST",
          KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }],
          AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" }],
        }),
      );
    } finally {
      client.destroy();
    }
  };
  const server = await startMinistack(folder, (endpoint) => createTableAt(endpoint, "is-it-there"));
  const { port } = server;
  const stop = async (): Promise<void> => {
    await server.end();
    await rm(folder, { recursive: true, force: true });
  };
  const faults = new Set<(request: PassingRequest) => Fault | undefined>();
  const way = await openWay(port, (passing) => {
    for (const fault of faults) {
      const chosen = fault(passing);
      if (chosen) return chosen;
    }
    return undefined;
  });
  return {
    endpoint: way.endpoint,
    directEndpoint: server.endpoint,
    disturb: (fault) => {
      faults.add(fault);
      return () => void faults.delete(fault);
    },
    lateArrivals: way.lateArrivals,
    createTable: (name) => createTableAt(server.endpoint, name),
    close: async () => {
      await way.close();
      await stop();
    },
  };
};

const openWay = async (port: number, faultOf: (passing: PassingRequest) => Fault | undefined) => {
  const agent = new Agent({ keepAlive: true });
  const timers = new Set<NodeJS.Timeout>();
  let lateArrivals = 0;
  const pass = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const fault = faultOf({
      from: incoming.socket.remoteAddress ?? "",
      operation: String(incoming.headers["x-amz-target"] ?? "").replace(/^.*\./, ""),
      authorization: incoming.headers.authorization ?? "",
      userAgent: incoming.headers["user-agent"],
    });
    const body = Buffer.concat(await incoming.toArray());
    const forward = (answered: (answer: IncomingMessage) => void): void => {
      const { method = "POST", url: path = "/", headers } = incoming;
      const onward = request({ hostname: "127.0.0.1", port, method, path, headers, agent }, answered);
      onward.on("error", () => outgoing.destroy());
      onward.end(body);
    };
    const ignored = (then: () => void) => (answer: IncomingMessage) => void answer.resume().on("end", then);
    switch (fault?.kind) {
      case "swallow":
        return;
      case "throttle":
        outgoing.writeHead(400, { "content-type": "application/x-amz-json-1.0" });
        outgoing.end(
          JSON.stringify({
            __type: "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            message: "The level of configured provisioned throughput for the table was exceeded.",
          }),
        );
        return;
      case "arrive-late": {
        outgoing.destroy();
        const timer = setTimeout(() => {
          timers.delete(timer);
          const arrived = (): void => {
            lateArrivals += 1;
          };
          forward(ignored(arrived));
        }, fault.afterMs);
        timers.add(timer);
        return;
      }
      case "lose-answer":
        return forward(ignored(() => outgoing.destroy()));
      case "withhold-answer":
        return forward(ignored(() => {}));
      default:
        forward((answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        });
    }
  };
  const server = createServer((incoming, outgoing) => void pass(incoming, outgoing).catch(() => outgoing.destroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lateArrivals: () => lateArrivals,
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      agent.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
