import { afterAll, beforeAll } from "vitest";
import type { Aws } from "#node/lib/aws/clients.ts";
import { type DynamodbServer, startDynamodb } from "./dynamodb-server.ts";
import { clusterId, makeNode, type Node } from "./node.ts";

/** Environment of a process that calls the server with keys of its own. */
export const environmentFor = (endpoint: string): Record<string, string> => ({
  AWS_ENDPOINT_URL: endpoint,
  AWS_ACCESS_KEY_ID: "test",
  AWS_SECRET_ACCESS_KEY: "test",
  AWS_EC2_METADATA_DISABLED: "true",
});

/** One server for the tests of a file. */
export const useDynamodb = (): {
  readonly server: () => DynamodbServer;
  newTable(): Promise<string>;
  node: typeof makeNode;
  /** A node with an address that no other test of the file has, for tests that run at the same time. */
  freshNode(table: string): Node;
} => {
  let running: DynamodbServer | undefined;
  let tables = 0;
  let addresses = 100;
  const opened: Aws[] = [];
  const server = (): DynamodbServer => {
    if (!running) throw new Error("the server is not running");
    return running;
  };
  beforeAll(async () => {
    running = await startDynamodb();
    Object.assign(process.env, environmentFor(running.endpoint));
  });
  afterAll(async () => {
    for (const aws of opened) aws.close();
    await running?.close();
  });
  const node: typeof makeNode = (n, table) => {
    const made = makeNode(n, table);
    opened.push(made.aws);
    return made;
  };
  return {
    server,
    newTable: async () => {
      tables += 1;
      const name = `percona-${clusterId}-${tables}-locks`;
      await server().createTable(name);
      return name;
    },
    node,
    freshNode: (table) => {
      addresses += 1;
      return node(addresses, table);
    },
  };
};
