import { AutoScalingClient, DescribeAutoScalingGroupsCommand } from "@aws-sdk/client-auto-scaling";
import { DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { DescribeInstancesCommand, EC2Client } from "@aws-sdk/client-ec2";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hashKey } from "#contract/table.ts";
import { type ClusterResources, createCluster, type Fault } from "#lab/cloud/index.ts";
import { startTestCloud, type TestCloud } from "./harness.ts";

let test: TestCloud;
let cluster: ClusterResources;
let dynamodb: DynamoDBClient;
let s3: S3Client;
let ec2: EC2Client;
let autoScaling: AutoScalingClient;

beforeAll(async () => {
  test = await startTestCloud();
  cluster = await createCluster(test.cloud, { clusterId: "faults", nodes: 3 });
  const { endpoint, region, operator } = test.cloud;
  const options = { endpoint, region, credentials: operator, maxAttempts: 1 };
  dynamodb = new DynamoDBClient(options);
  s3 = new S3Client(options);
  ec2 = new EC2Client(options);
  autoScaling = new AutoScalingClient(options);
});
afterEach(() => {
  test.cloud.faults.clear();
});
afterAll(async () => {
  await test?.close();
});

const put = (key: string, value = "1") =>
  dynamodb.send(
    new PutItemCommand({ TableName: cluster.tableName, Item: { [hashKey]: { S: key }, value: { S: value } } }),
  );
const read = async (key: string) => {
  const get = new GetItemCommand({
    TableName: cluster.tableName,
    Key: { [hashKey]: { S: key } },
    ConsistentRead: true,
  });
  return (await dynamodb.send(get)).Item?.value?.S;
};

describe("a cut", () => {
  it("resets calls, also those on their way, until it is healed", async () => {
    test.cloud.faults.add({
      match: { service: "dynamodb", operation: "PutItem" },
      effect: { kind: "delay", delayMs: 5000 },
    });
    const onItsWay = put("cut");
    const failed = expect(onItsWay).rejects.toMatchObject({ code: "ECONNRESET" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    test.cloud.faults.add({ match: { service: "dynamodb" }, effect: { kind: "cut" } });
    await failed;
    await expect(read("cut")).rejects.toMatchObject({ code: "ECONNRESET" });
    await expect(s3.send(new ListObjectsV2Command({ Bucket: cluster.bucket }))).resolves.toBeDefined();
    test.cloud.faults.clear();
    expect(await read("cut")).toBeUndefined();
  });
});

describe("a lost reply", () => {
  it("comes after the effect", async () => {
    test.cloud.faults.add({ match: { operation: "PutItem" }, effect: { kind: "drop-reply" }, times: 1 });
    await expect(put("lost")).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await read("lost")).toBe("1");
    await put("lost", "2");
    expect(await read("lost")).toBe("2");
  });
});

describe("a black hole", () => {
  it("takes the request and never answers, without an effect", async () => {
    test.cloud.faults.add({ match: { operation: "PutItem" }, effect: { kind: "black-hole" } });
    const abort = new AbortController();
    const lost = dynamodb.send(
      new PutItemCommand({ TableName: cluster.tableName, Item: { [hashKey]: { S: "hole" } } }),
      { abortSignal: abort.signal },
    );
    const answered = await Promise.race([
      lost.then(
        () => true,
        () => true,
      ),
      new Promise<false>((resolve) => setTimeout(resolve, 500, false)),
    ]);
    expect(answered).toBe(false);
    abort.abort();
    await expect(lost).rejects.toMatchObject({ name: "AbortError" });
    expect(await read("hole")).toBeUndefined();
  });
});

describe("a refusal", () => {
  const add = (service: string, kind: "deny" | "throttle", operation?: string) =>
    test.cloud.faults.add({ match: { service, ...(operation ? { operation } : {}) }, effect: { kind } });

  it("speaks the language of its service", async () => {
    add("dynamodb", "throttle");
    await expect(read("x")).rejects.toMatchObject({ name: "ThrottlingException" });
    add("ec2", "throttle");
    await expect(ec2.send(new DescribeInstancesCommand({}))).rejects.toMatchObject({ name: "RequestLimitExceeded" });
    add("autoscaling", "deny");
    await expect(autoScaling.send(new DescribeAutoScalingGroupsCommand({}))).rejects.toMatchObject({
      name: "AccessDenied",
    });
  });

  it("can concern one operation of S3", async () => {
    await s3.send(new PutObjectCommand({ Bucket: cluster.bucket, Key: "a", Body: "1" }));
    add("s3", "deny", "PutObject");
    await expect(s3.send(new PutObjectCommand({ Bucket: cluster.bucket, Key: "b", Body: "1" }))).rejects.toMatchObject({
      name: "AccessDenied",
    });
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: cluster.bucket, Key: "a" }));
    expect(await Body?.transformToString()).toBe("1");
  });
});

describe("a delay", () => {
  it("holds the call and then serves it", async () => {
    test.cloud.faults.add({ match: { operation: "PutItem" }, effect: { kind: "delay", delayMs: 300 } });
    const began = performance.now();
    await put("slow");
    expect(performance.now() - began).toBeGreaterThan(290);
    expect(await read("slow")).toBe("1");
  });
});

describe("over HTTP", () => {
  const call = (method: string, fault?: unknown, secret = test.cloud.labSecret) =>
    fetch(`${test.cloud.endpoint}/_lab/faults`, {
      method,
      headers: { "x-lab-secret": secret },
      ...(fault === undefined ? {} : { body: JSON.stringify(fault) }),
    });
  const fault: Fault = { match: { service: "dynamodb" }, effect: { kind: "deny" } };

  it("faults are added and removed with the lab's secret only", async () => {
    expect((await call("POST", fault, "guess")).status).toBe(403);
    expect(test.cloud.faults.list()).toEqual([]);
    expect((await call("POST", fault)).status).toBe(200);
    await expect(read("x")).rejects.toMatchObject({ name: "AccessDeniedException" });
    expect(await (await call("GET")).json()).toEqual({ faults: [fault] });
    expect((await call("DELETE")).status).toBe(200);
    expect(await read("x")).toBeUndefined();
  });

  it("a fault with a mistake is refused", async () => {
    const mistaken = await call("POST", { match: { servise: "dynamodb" }, effect: { kind: "cut" } });
    expect(mistaken.status).toBe(400);
    expect(await mistaken.text()).toContain("servise");
    expect(test.cloud.faults.list()).toEqual([]);
  });
});

describe("what the lab does not have", () => {
  const signed = (service: string, body: string, type: string) =>
    fetch(test.cloud.endpoint, {
      method: "POST",
      headers: {
        authorization: `AWS4-HMAC-SHA256 Credential=AKIA1/20261121/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=00`,
        "content-type": type,
      },
      body,
    });

  it("is refused as AWS refuses an unknown operation", async () => {
    const form = "application/x-www-form-urlencoded";
    const group = await signed(
      "autoscaling",
      "Action=StartInstanceRefresh&Version=2011-01-01&AutoScalingGroupName=x",
      form,
    );
    expect(group.status).toBe(400);
    expect(await group.text()).toContain("<Code>InvalidAction</Code>");
    const instances = await signed("ec2", "Action=NoSuchThing&Version=2016-11-15", form);
    expect(instances.status).toBe(400);
    expect(await instances.text()).toContain("<Code>InvalidAction</Code>");
    const unknown = await signed("braket", "{}", "application/json");
    expect(await unknown.json()).toMatchObject({ __type: "UnknownOperationException" });
  });

  it("a failure of an emulator is an error of the service, not a page", async () => {
    const form = "application/x-www-form-urlencoded";
    // moto raises a bare ValueError above 100.
    const answer = await signed(
      "autoscaling",
      "Action=DescribeAutoScalingGroups&Version=2011-01-01&MaxRecords=101",
      form,
    );
    expect(answer.status).toBe(500);
    expect(await answer.text()).toMatch(/<Code>InternalFailure<\/Code><Message>.*ValueError/);
    expect(test.lines.some((line) => line.includes("broke moto"))).toBe(true);
  });
});
