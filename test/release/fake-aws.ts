import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** An account in which there is nothing, or in which nothing is allowed. */
export interface FakeAws {
  readonly env: Readonly<Record<string, string>>;
  /** Calls that arrived, for example `DescribeInstances`. */
  readonly calls: readonly string[];
  close(): Promise<void>;
}

/** Serves EC2's and DynamoDB's protocols on loopback: no instance, and no table; with `deny`, a refusal of EC2's calls. */
export async function fakeAws(options: { readonly deny?: boolean } = {}): Promise<FakeAws> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    void answer(request, response, options.deny ?? false, calls);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    calls,
    env: {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
      AWS_SECRET_ACCESS_KEY: "not-a-secret",
      AWS_REGION: "eu-west-1",
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  deny: boolean,
  calls: string[],
): Promise<void> {
  const body = await text(request);
  const target = request.headers["x-amz-target"];
  if (typeof target === "string") {
    calls.push(target.split(".")[1] ?? target);
    response.writeHead(400, { "content-type": "application/x-amz-json-1.0" });
    response.end('{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no such table"}');
    return;
  }
  const action = new URLSearchParams(body).get("Action") ?? "unknown";
  calls.push(action);
  response.writeHead(deny ? 403 : 200, { "content-type": "text/xml" });
  response.end(
    deny
      ? "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
      : `<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId><reservationSet/></${action}Response>`,
  );
}
