import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hashKey } from "#contract/table.ts";
import { type ClusterResources, createCluster } from "#lab/cloud/index.ts";
import { percentile, startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let runDir: string;
const figures: string[] = [];

beforeAll(async () => {
  const began = performance.now();
  const { mkdtemp } = await import("node:fs/promises");
  runDir = await mkdtemp("/tmp/cloud-run-");
  test = await startTestCloud({ runDir });
  figures.push(`cloud ready in ${(performance.now() - began).toFixed(0)} ms`);
  const made = performance.now();
  cluster = await createCluster(test.cloud, { clusterId: "figures", nodes: 3 });
  figures.push(`quick start in ${(performance.now() - made).toFixed(0)} ms`);
});
afterAll(async () => {
  await test?.close();
  const { rm } = await import("node:fs/promises");
  await rm(runDir, { recursive: true, force: true });
  process.stdout.write(`${figures.map((figure) => `  ${figure}`).join("\n")}\n`);
});

const residentMegabytes = (pid: number): number => {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kilobytes) / 1024);
};

/** Median and 99th percentile of `count` reads of one item, milliseconds. */
const measureReads = async (target: { socketPath: string } | { host: string; port: number }, count: number) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify({ TableName: cluster.tableName, Key: { [hashKey]: { S: "a" } }, ConsistentRead: true });
  const once = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const began = performance.now();
      const call = request(
        {
          ...target,
          agent,
          method: "POST",
          path: "/",
          headers: {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": "DynamoDB_20120810.GetItem",
            authorization: `AWS4-HMAC-SHA256 Credential=${test.cloud.operator.accessKeyId}/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00`,
            "content-length": body.length,
          },
        },
        (response) => {
          let text = "";
          response.on("data", (chunk) => {
            text += chunk;
          });
          response.on("end", () => {
            if (text.includes('"Item"')) resolve(performance.now() - began);
            else reject(new Error(text));
          });
        },
      );
      call.on("error", reject);
      call.end(body);
    });
  const times: number[] = [];
  for (let n = 0; n < count + 50; n += 1) {
    const time = await once();
    if (n >= 50) times.push(time);
  }
  agent.destroy();
  return { p50: percentile(times, 50), p99: percentile(times, 99) };
};

it("the gateway adds little to a read of DynamoDB", async () => {
  const { endpoint, region, operator } = test.cloud;
  const dynamodb = new DynamoDBClient({ endpoint, region, credentials: operator });
  await dynamodb.send(new PutItemCommand({ TableName: cluster.tableName, Item: { [hashKey]: { S: "a" } } }));
  const url = new URL(endpoint);
  const direct = await measureReads({ socketPath: `${runDir}/ministack.sock` }, 500);
  const through = await measureReads({ host: url.hostname, port: Number(url.port) }, 500);
  figures.push(
    `GetItem, 500 reads: direct p50 ${direct.p50.toFixed(2)} p99 ${direct.p99.toFixed(2)} ms, through the gateway p50 ${through.p50.toFixed(2)} p99 ${through.p99.toFixed(2)} ms`,
  );
  expect(through.p50 - direct.p50).toBeLessThan(3);
});

it("objects stream through the gateway in both directions", async () => {
  const { endpoint, region, operator, processes } = test.cloud;
  const s3 = new S3Client({ endpoint, region, credentials: operator });
  const megabytes = 256;
  const chunk = Buffer.alloc(1024 * 1024, "0123456789abcdef");
  const expected = createHash("sha256");
  const source = Readable.from(
    (function* () {
      for (let n = 0; n < megabytes; n += 1) {
        expected.update(chunk);
        yield chunk;
      }
    })(),
  );
  const before = process.memoryUsage.rss() / 2 ** 20;
  const upBegan = performance.now();
  const upload = new Upload({
    client: s3,
    params: { Bucket: cluster.bucket, Key: "large", Body: source },
    queueSize: 2,
  });
  await upload.done();
  const upSeconds = (performance.now() - upBegan) / 1000;
  const downBegan = performance.now();
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: cluster.bucket, Key: "large" }));
  const actual = createHash("sha256");
  await pipeline(Body as Readable, actual);
  const downSeconds = (performance.now() - downBegan) / 1000;
  expect(actual.digest("hex")).toBe(expected.digest("hex"));
  const grown = process.memoryUsage.rss() / 2 ** 20 - before;
  figures.push(
    `${megabytes} MB object: up ${(megabytes / upSeconds).toFixed(0)} MB/s, down ${(megabytes / downSeconds).toFixed(0)} MB/s, this process grew by ${grown.toFixed(0)} MB`,
    `resident: moto ${residentMegabytes(processes.moto)} MB, ministack ${residentMegabytes(processes.ministack)} MB`,
  );
  // Client and gateway share this process.
  expect(grown).toBeLessThan(megabytes);
});
