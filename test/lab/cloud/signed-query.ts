import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Cloud } from "./types.ts";

type Signer = Pick<Cloud, "endpoint" | "region" | "operator">;

/** Sends one request signed by the operator, for services that this project has no SDK for. Resolves whatever the status is. */
export const signedFetch = async (
  cloud: Signer,
  service: string,
  request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  },
): Promise<Response> => {
  const url = new URL(request.path, cloud.endpoint);
  const signer = new SignatureV4({
    credentials: { ...cloud.operator },
    region: cloud.region,
    service,
    sha256: Sha256,
  });
  const { headers } = await signer.sign({
    method: request.method,
    protocol: url.protocol,
    hostname: url.hostname,
    port: Number(url.port),
    path: url.pathname,
    headers: { host: url.host, ...request.headers },
    body: request.body,
  });
  return fetch(url, { method: request.method, headers, body: request.body });
};

/** Calls an operation of a query service and returns the XML of the answer. Rejects on an error. */
export const signedQuery = async (
  cloud: Signer,
  call: { readonly service: string; readonly version: string; readonly operation: string },
  parameters: Readonly<Record<string, string>>,
): Promise<string> => {
  const response = await signedFetch(cloud, call.service, {
    method: "POST",
    path: "/",
    headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
    body: new URLSearchParams({ Action: call.operation, Version: call.version, ...parameters }).toString(),
  });
  const text = await response.text();
  if (!response.ok)
    throw new Error(`${call.service}:${call.operation} was refused with HTTP ${response.status}: ${text}`);
  return text;
};
