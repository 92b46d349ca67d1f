import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import { AwsError } from "./aws-error.ts";
import { credentialScope } from "./aws-request.ts";
import type { AccessKeys } from "./types.ts";

/** A request with its whole body. */
export interface SignedRequest {
  readonly method: string;
  /** Path as on the wire, with its escapes. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A signature may be this old, or as far in the future, milliseconds. AWS allows as much. */
const maxSkewMs = 15 * 60_000;

const refused = (why: string): AwsError =>
  new AwsError(
    "SignatureDoesNotMatch",
    `The request signature we calculated does not match the signature you provided: ${why}. Nothing was changed. ` +
      "Sign with the lab's own access key, which changes with every lab.",
    403,
  );

const signingDate = (text: string | undefined): Date | undefined => {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text ?? "") ?? [];
  if (year === undefined) return undefined;
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
};

/**
 * Checks that a request was signed with these keys, and covers its body.
 *
 * @throws AwsError `SignatureDoesNotMatch`
 */
export const verifySignature = async (request: SignedRequest, keys: AccessKeys, now: Date): Promise<void> => {
  const authorization = request.headers.authorization ?? "";
  const scope = credentialScope(request.headers, request.query);
  const signedNames = /SignedHeaders=([^,\s]+)/.exec(authorization)?.[1]?.split(";");
  const given = /Signature=([0-9a-f]{64})/.exec(authorization)?.[1];
  if (scope === undefined || signedNames === undefined || given === undefined) {
    throw refused("the Authorization header is missing or is not of AWS4-HMAC-SHA256");
  }
  if (scope.accessKeyId !== keys.accessKeyId) throw refused("it was made with another access key");
  const dateText = request.headers["x-amz-date"];
  const date = signingDate(typeof dateText === "string" ? dateText : undefined);
  if (date === undefined) throw refused("there is no X-Amz-Date header");
  if (Math.abs(date.getTime() - now.getTime()) > maxSkewMs) throw refused("it is too old or from the future");
  if (!signedNames.includes("host")) throw refused("the host header is not signed");

  const bodyHash = createHash("sha256").update(request.body).digest("hex");
  const claimedHash = request.headers["x-amz-content-sha256"];
  if (claimedHash !== undefined && claimedHash !== bodyHash) throw refused("it does not cover the body");

  const headers: Record<string, string> = {};
  for (const name of signedNames) {
    const value = request.headers[name];
    if (value === undefined) throw refused(`the signed header ${name} is missing`);
    headers[name] = Array.isArray(value) ? value.join(",") : value;
  }
  const query: Record<string, string | string[]> = {};
  for (const name of new Set(request.query.keys())) query[name] = request.query.getAll(name);
  const signer = new SignatureV4({
    credentials: { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
    region: scope.region,
    service: scope.service,
    sha256: Sha256,
    applyChecksum: false,
  });
  const signed = await signer.sign(
    {
      method: request.method,
      protocol: "http:",
      hostname: "lab",
      path: request.path,
      query,
      headers,
      body: request.body,
    },
    { signingDate: date, signableHeaders: new Set(signedNames) },
  );
  const expected = signed.headers.authorization ?? "";
  const expectedSignature = /Signature=([0-9a-f]{64})/.exec(expected)?.[1] ?? "";
  if (!expected.includes(`SignedHeaders=${signedNames.join(";")},`))
    throw refused("its list of headers is out of order");
  if (!timingSafeEqual(Buffer.from(expectedSignature), Buffer.from(given))) throw refused("the signatures differ");
};
