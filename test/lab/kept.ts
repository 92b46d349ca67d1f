import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type AttributeValue, DynamoDBClient, PutItemCommand, paginateScan } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, paginateListObjectsV2, S3Client } from "@aws-sdk/client-s3";
import { PutSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { Upload } from "@aws-sdk/lib-storage";
import type { Credentials } from "#contract/credentials.ts";
import type { Cloud, CloudInstance, ClusterResources } from "./cloud/index.ts";
import type { LabPaths } from "./state.ts";

/** A machine whose disk was kept. */
export interface KeptMachine {
  readonly instanceId: string;
  readonly address: string;
}

/** A cluster that a lab with `--keep` left behind. Its disks are the folders of the machines. */
export interface Kept {
  readonly clusterId: string;
  readonly nodes: number;
  readonly credentials: Credentials;
  readonly machines: readonly KeptMachine[];
}

type Item = Record<string, AttributeValue>;
type Where = Pick<Cloud, "endpoint" | "region" | "operator">;

/** Written last when a cluster is kept, removed when it has been put back. */
const inventory = ({ kept }: LabPaths): string => join(kept, "kept.json");
const tableFile = ({ kept }: LabPaths): string => join(kept, "table.json");
const objectsFolder = ({ kept }: LabPaths): string => join(kept, "objects");

/** What the lab with these paths left behind; undefined when that is nothing, or not all of it. */
export async function readKept(paths: LabPaths): Promise<Kept | undefined> {
  const text = await readFile(inventory(paths), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Kept);
}

/** Stores the table's items and the bucket's objects beside the disks of the machines, which must be off. */
export async function keepCluster(
  paths: LabPaths,
  cloud: Where,
  cluster: ClusterResources,
  machines: readonly KeptMachine[],
): Promise<void> {
  await rm(paths.kept, { recursive: true, force: true });
  await mkdir(objectsFolder(paths), { recursive: true, mode: 0o700 });
  const { dynamodb, s3, close } = clientsOf(cloud);
  try {
    const items: Item[] = [];
    for await (const page of paginateScan(
      { client: dynamodb },
      { TableName: cluster.tableName, ConsistentRead: true },
    )) {
      items.push(...(page.Items ?? []));
    }
    await writeFile(tableFile(paths), JSON.stringify(items), { mode: 0o600 });
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: cluster.bucket })) {
      for (const { Key = "" } of page.Contents ?? []) {
        const file = join(objectsFolder(paths), Key);
        await mkdir(dirname(file), { recursive: true });
        const { Body } = await s3.send(new GetObjectCommand({ Bucket: cluster.bucket, Key }));
        await pipeline(Body as Readable, createWriteStream(file));
      }
    }
  } finally {
    close();
  }
  const { clusterId, nodes, credentials } = cluster;
  const kept: Kept = { clusterId, nodes, credentials, machines };
  await writeFile(inventory(paths), JSON.stringify(kept, null, 2), { mode: 0o600 });
}

/**
 * Puts what was kept into a new cluster with the same id, before its machines boot. Its instances are new, so each gets the disk
 * of a former one, and the table's items name the new instances where they named the former ones.
 */
export async function putBack(
  paths: LabPaths,
  kept: Kept,
  cloud: Where & Pick<Cloud, "instances">,
  cluster: ClusterResources,
): Promise<ClusterResources> {
  const pairs = successors(
    kept.machines,
    cloud.instances().filter(({ state }) => state === "running"),
  );
  const { dynamodb, s3, secrets, close } = clientsOf(cloud);
  try {
    const items = JSON.parse(renamed(await readFile(tableFile(paths), "utf8"), pairs)) as Item[];
    for (const Item of items) await dynamodb.send(new PutItemCommand({ TableName: cluster.tableName, Item }));
    for (const file of await filesIn(objectsFolder(paths))) {
      const Key = relative(objectsFolder(paths), file);
      await new Upload({ client: s3, params: { Bucket: cluster.bucket, Key, Body: createReadStream(file) } }).done();
    }
    await secrets.send(
      new PutSecretValueCommand({ SecretId: cluster.secretArn, SecretString: JSON.stringify(kept.credentials) }),
    );
  } finally {
    close();
  }
  for (const { former, successor } of pairs) {
    await rename(join(paths.machines, former.instanceId), join(paths.machines, successor.instanceId));
  }
  const taken = new Set(pairs.map(({ successor }) => successor.instanceId));
  const orphans = (await readdir(paths.machines)).filter((name) => !taken.has(name));
  for (const name of orphans) await rm(join(paths.machines, name), { recursive: true, force: true });
  await rm(paths.kept, { recursive: true, force: true });
  return { ...cluster, credentials: kept.credentials };
}

/** A former machine and the new instance that takes its disk. */
export interface Succession {
  readonly former: KeptMachine;
  readonly successor: KeptMachine;
}

/** Gives each former machine a new instance: the one at its address, or one that is left over. */
export function successors(
  formers: readonly KeptMachine[],
  instances: readonly Pick<CloudInstance, "instanceId" | "privateIp">[],
): Succession[] {
  const free = new Map(instances.map(({ instanceId, privateIp }) => [privateIp, instanceId]));
  const take = (address: string | undefined): KeptMachine | undefined => {
    const instanceId = address === undefined ? undefined : free.get(address);
    if (address === undefined || instanceId === undefined) return undefined;
    free.delete(address);
    return { instanceId, address };
  };
  const sameAddress = formers.map((former) => take(former.address));
  return formers.flatMap((former, at) => {
    const successor = sameAddress[at] ?? take(free.keys().next().value);
    return successor === undefined ? [] : [{ former, successor }];
  });
}

/** A text with every former instance id and address replaced by its successor's. */
export function renamed(text: string, pairs: readonly Succession[]): string {
  const successorOf = new Map(
    pairs.flatMap(({ former, successor }): [string, string][] => [
      [former.instanceId, successor.instanceId],
      [former.address, successor.address],
    ]),
  );
  return text.replace(
    /i-[0-9a-f]{8,17}|(?<![\d.])\d+\.\d+\.\d+\.\d+(?![\d.])/g,
    (word) => successorOf.get(word) ?? word,
  );
}

function clientsOf({ endpoint, region, operator }: Where) {
  const common = { endpoint, region, credentials: operator };
  const clients = {
    dynamodb: new DynamoDBClient(common),
    s3: new S3Client({ ...common, forcePathStyle: true }),
    secrets: new SecretsManagerClient(common),
  };
  return {
    ...clients,
    close: () => {
      for (const client of Object.values(clients)) client.destroy();
    },
  };
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
