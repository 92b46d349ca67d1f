import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { makeMetadata, metadataOverHttp } from "#node/lib/aws/metadata.ts";
import { useDynamodb } from "./fixture.ts";

const dynamodb = useDynamodb();

it("with the credentials of its role, which its metadata service gives", async () => {
  const asked: { readonly from: string; readonly path: string }[] = [];
  const metadata = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push({ from: request.socket.remoteAddress ?? "", path });
    if (path === "/latest/api/token" && request.method === "PUT") return response.end("token");
    if (request.headers["x-aws-ec2-metadata-token"] !== "token") return response.writeHead(401).end();
    if (path === "/latest/meta-data/iam/security-credentials/") return response.end("role-of-the-node");
    if (path === "/latest/meta-data/autoscaling/target-lifecycle-state") return response.end("InService");
    if (path !== "/latest/meta-data/iam/security-credentials/role-of-the-node") return response.writeHead(404).end();
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    return response.end(JSON.stringify({ AccessKeyId: "AKIAOFTHEROLE", SecretAccessKey: "s", Token: "t", Expiration }));
  });
  metadata.listen(0, "127.0.11.99");
  await once(metadata, "listening");
  const endpoint = `http://127.0.11.99:${(metadata.address() as AddressInfo).port}`;
  const before = { ...process.env };
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"])
    delete process.env[name];
  process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = endpoint;
  const seen: { from: string; authorization: string }[] = [];
  try {
    const node = dynamodb.node(7, await dynamodb.newTable());
    onTestFinished(
      dynamodb.server().disturb(({ from, authorization }) => {
        seen.push({ from, authorization });
        return undefined;
      }),
    );
    await node.table.put({ pk: "x" });
    const state = await makeMetadata(metadataOverHttp({ sourceAddress: node.address })).targetLifecycleState();
    expect(state).toBe("InService");
  } finally {
    process.env = before;
    metadata.closeAllConnections();
    metadata.close();
  }
  expect(seen).toEqual([{ from: "127.0.11.7", authorization: expect.stringContaining("Credential=AKIAOFTHEROLE/") }]);
  expect(asked.at(-1)).toEqual({ from: "127.0.11.7", path: "/latest/meta-data/autoscaling/target-lifecycle-state" });
});
