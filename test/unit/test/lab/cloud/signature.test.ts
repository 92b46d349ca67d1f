import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import { describe, expect, it } from "vitest";
import { verifySignature } from "#lab/cloud/signature.ts";

const keys = { accessKeyId: "AKIALAB", secretAccessKey: "secret" };
const now = new Date("2026-11-21T12:00:00Z");
const body = Buffer.from('{"DocumentName":"x"}');

const signedRequest = async (options: { keys?: typeof keys; path?: string; date?: Date; body?: Buffer } = {}) => {
  const path = options.path ?? "/";
  const signer = new SignatureV4({
    credentials: options.keys ?? keys,
    region: "us-east-1",
    service: "ssm",
    sha256: Sha256,
  });
  const { headers } = await signer.sign(
    {
      method: "POST",
      protocol: "http:",
      hostname: "127.5.0.1",
      path,
      query: { b: "2", a: "1" },
      headers: {
        host: "127.5.0.1:4566",
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AmazonSSM.SendCommand",
      },
      body: options.body ?? body,
    },
    { signingDate: options.date ?? now },
  );
  return { method: "POST", path, query: new URLSearchParams("b=2&a=1"), headers, body };
};
const refusal = expect.objectContaining({ code: "SignatureDoesNotMatch" });

describe("a signature", () => {
  it("made with the lab's keys is accepted", async () => {
    await expect(verifySignature(await signedRequest(), keys, now)).resolves.toBeUndefined();
    const request = await signedRequest({ path: "/2015-03-31/functions/arn%3Aaws%3Alambda/code" });
    await expect(verifySignature(request, keys, now)).resolves.toBeUndefined();
  });

  it("with another secret, key id or date is refused", async () => {
    const other = await signedRequest({ keys: { ...keys, secretAccessKey: "guess" } });
    await expect(verifySignature(other, keys, now)).rejects.toThrow(refusal);
    const stranger = await signedRequest({ keys: { ...keys, accessKeyId: "AKIAOTHER" } });
    await expect(verifySignature(stranger, keys, now)).rejects.toThrow(refusal);
    const old = await signedRequest({ date: new Date(now.getTime() - 16 * 60_000) });
    await expect(verifySignature(old, keys, now)).rejects.toThrow(refusal);
  });

  it("of another request is refused", async () => {
    const request = await signedRequest();
    const changed = [
      { ...request, body: Buffer.from('{"DocumentName":"y"}') },
      { ...request, path: "/other" },
      { ...request, query: new URLSearchParams("b=3&a=1") },
      { ...request, headers: { ...request.headers, "x-amz-target": "AmazonSSM.CancelCommand" } },
    ];
    for (const each of changed) await expect(verifySignature(each, keys, now)).rejects.toThrow(refusal);
  });

  it("that claims another body's hash is refused", async () => {
    const request = await signedRequest();
    const { "x-amz-content-sha256": _, ...headers } = request.headers;
    const unsignedPayload = { ...request, headers: { ...headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } };
    await expect(verifySignature(unsignedPayload, keys, now)).rejects.toThrow(refusal);
  });

  it("that is missing is refused", async () => {
    const request = await signedRequest();
    await expect(verifySignature({ ...request, headers: { host: "x" } }, keys, now)).rejects.toThrow(refusal);
  });
});
