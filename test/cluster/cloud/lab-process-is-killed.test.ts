import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CreateTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFunction } from "#lab/cloud/functions.ts";
import { startCloud } from "#lab/cloud/index.ts";
import { signedFetch } from "#lab/cloud/signed-query.ts";
import { eventually, startTestCloud } from "./harness.ts";

interface Started {
  readonly child: ChildProcess;
  readonly moto: number;
  readonly ministack: number;
  readonly accountId: string;
  readonly endpoint: string;
  readonly keys: { accessKeyId: string; secretAccessKey: string };
}

const network = `127.${200 + (process.pid % 50)}`;
let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cloud-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

const start = async (): Promise<Started> => {
  const program = fileURLToPath(new URL("./cloud-process.ts", import.meta.url));
  const child = spawn(process.execPath, [program, network, folder], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, ...JSON.parse(line.toString()) };
};
/** A zombie that nobody has waited for is dead, too. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};
const clients = ({ endpoint, keys }: Started) => {
  const options = { endpoint, region: "us-east-1", credentials: keys };
  return { dynamodb: new DynamoDBClient(options), s3: new S3Client(options) };
};
const listens = (address: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
  });

describe("SIGKILL of the process that started the cloud", () => {
  it("ends the emulators, and what was kept is there again afterwards", async () => {
    const first = await start();
    expect([first.moto, first.ministack].map(isAlive)).toEqual([true, true]);
    const before = clients(first);
    await before.dynamodb.send(
      new CreateTableCommand({
        TableName: "kept",
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" }],
        KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }],
      }),
    );
    await before.dynamodb.send(new PutItemCommand({ TableName: "kept", Item: { pk: { S: "a" }, n: { N: "7" } } }));
    await before.s3.send(new CreateBucketCommand({ Bucket: "kept" }));
    await before.s3.send(new PutObjectCommand({ Bucket: "kept", Key: "a/b", Body: "object" }));

    first.child.kill("SIGKILL");
    await eventually("the end of the emulators", () => ![first.moto, first.ministack].some(isAlive), 12_000);

    const second = await start();
    const after = clients(second);
    const { Item } = await after.dynamodb.send(new GetItemCommand({ TableName: "kept", Key: { pk: { S: "a" } } }));
    expect(Item?.n?.N).toBe("7");
    const { Body } = await after.s3.send(new GetObjectCommand({ Bucket: "kept", Key: "a/b" }));
    expect(await Body?.transformToString()).toBe("object");
    second.child.kill("SIGKILL");
    await eventually("the end of the emulators", () => ![second.moto, second.ministack].some(isAlive), 12_000);
  });
});

describe("SIGKILL while a function is at work", () => {
  it("ends the function, which would go on for as long as its own time lasts", async () => {
    const { accountId, child, endpoint, keys } = await start();
    const owner = { accountId, endpoint, operator: keys, region: "us-east-1" };
    const name = "at-work";
    const pidFile = join(folder, "pid");
    const code = `
      import { writeFileSync } from "node:fs";
      export const handler = () => {
        writeFileSync(process.env.PID_FILE, String(process.pid));
        return new Promise(() => setInterval(() => {}, 1000));
      };`;
    const made = await createFunction(owner, { name, code, timeoutSeconds: 60, environment: { PID_FILE: pidFile } });
    expect(made.status).toBe(201);
    await signedFetch(owner, "lambda", {
      method: "POST",
      path: `/2015-03-31/functions/${name}/invocations`,
      headers: { "content-type": "application/json", "x-amz-invocation-type": "Event" },
      body: "{}",
    });
    const pid = await eventually(
      "the function's process",
      async () => Number(await readFile(pidFile, "utf8")) || undefined,
    );
    expect(isAlive(pid)).toBe(true);
    child.kill("SIGKILL");
    await eventually("the end of the function", () => !isAlive(pid), 12_000);
  });
});

describe("a cloud that is closed or cannot start", () => {
  it("leaves no process and no port", async () => {
    const { cloud, close } = await startTestCloud();
    const { moto, ministack } = cloud.processes;
    expect(await listens(`${cloud.network}.0.1`, 4566)).toBe(true);
    await close();
    expect([moto, ministack].some(isAlive)).toBe(false);
    expect(await listens(`${cloud.network}.0.1`, 4566)).toBe(false);
  });

  it("ends what it had started when its address is taken", async () => {
    const { cloud, close } = await startTestCloud();
    const before = cloud.processes;
    await expect(
      startCloud({ network: cloud.network, stateDir: join(folder, "state"), runDir: join(folder, "run") }),
    ).rejects.toThrow("EADDRINUSE");
    await eventually("the end of the second cloud's emulators", () => {
      const ours = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
      const pids = ours.trim().split(/\s+/).map(Number).filter(isAlive);
      return pids.every((pid) => pid === before.moto || pid === before.ministack);
    });
    await close();
  });
});
