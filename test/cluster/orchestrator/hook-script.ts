import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import type { Credentials } from "#contract/credentials.ts";
import { nodeConfigVariable } from "#contract/node-config.ts";
import { build } from "../../../.ci/build.ts";

/** How the script ended. */
export interface HookRun {
  readonly exitCode: number;
  readonly log: string;
}

/** The metadata service and the secrets of a node that is nothing but its hook script. */
const serveNode = async (address: string, credentials: Credentials): Promise<Server> => {
  const metadata: Readonly<Record<string, string>> = {
    "/latest/api/token": "token",
    "/latest/meta-data/instance-id": "i-0123456789abcdef0",
    "/latest/meta-data/local-ipv4": address,
    "/latest/meta-data/placement/availability-zone": "eu-central-1a",
    "/latest/meta-data/placement/region": "eu-central-1",
  };
  const server = createServer((request, response) => {
    if (request.headers["x-amz-target"] === "secretsmanager.GetSecretValue") {
      const body = JSON.stringify({ Name: "secret", SecretString: JSON.stringify(credentials) });
      response.writeHead(200, { "content-type": "application/x-amz-json-1.1" }).end(body);
      return;
    }
    const found = metadata[request.url ?? ""];
    response.writeHead(found === undefined ? 404 : 200).end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return server;
};

/** Prepares a node at an address, with the compiled script on it; gives how to run the script. */
export const hookScript = async (options: {
  readonly address: string;
  readonly folder: string;
  readonly credentials: Credentials;
  readonly highestFence: number;
}): Promise<{
  run(name: string, env: Readonly<Record<string, string>>): Promise<HookRun>;
  close(): void;
}> => {
  const { address, folder, credentials, highestFence } = options;
  const [built] = await build({ parts: ["node"] });
  const server = await serveNode(address, credentials);
  const bound = server.address();
  const endpoint = `http://${address}:${typeof bound === "object" ? bound?.port : ""}`;
  const state = join(folder, "state");
  await mkdir(state);
  await writeFile(join(state, "highest-fence.json"), JSON.stringify({ fence: highestFence }));
  const configPath = join(folder, "node.json");
  const config = {
    cluster_id: "test",
    region: "eu-central-1",
    instance_count: 3,
    dynamodb_table: "percona-test-locks",
    credentials_secret: "test/mysql-credentials-x",
    s3_bucket: "percona-test-backups-x",
    asg_name: "test",
    write_target_group_arn: "arn:w",
    read_target_group_arn: "arn:r",
    account_network: "127.98.0.0/255.255.0.0",
    mysql: {
      mysqld: "/usr/sbin/mysqld",
      defaults_file: "/etc/my.cnf",
      include_dir: "/etc/conf.d",
      datadir: "/var/lib/mysql",
      socket: "/run/mysqld.sock",
      os_user: "mysql",
    },
    failover_engine: "orchestrator",
    state_dir: state,
  };
  await writeFile(configPath, JSON.stringify(config));
  const environment = {
    PATH: process.env.PATH ?? "",
    PERCONA_NODE: process.execPath,
    NODE_COMPILE_CACHE: join(folder, "compile-cache"),
    [nodeConfigVariable]: configPath,
    AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: endpoint,
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
  };
  return {
    run: (name, env) =>
      new Promise((resolve) => {
        execFile(
          join(built?.directory ?? "", "orchestrator-hook"),
          [name],
          { env: { ...environment, ...env } },
          (error, _, log) =>
            resolve({
              exitCode: typeof error?.code === "number" ? error.code : error ? -1 : 0,
              log,
            }),
        );
      }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};
